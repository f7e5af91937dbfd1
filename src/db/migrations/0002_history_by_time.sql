-- The live stream and its resumption read what happened since an instant, over all runs.

create index if not exists history_by_time on cronwright.history (at);
