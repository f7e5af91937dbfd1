-- The live stream and its resumption read what happened since an instant, over all runs. Only the instant: the index grows with
-- every flush of every run, and rows of one instant are few enough to be sorted.

create index if not exists history_by_time on cronwright.history (at);
