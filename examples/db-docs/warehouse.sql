create schema sales;

create table sales.customers (
  id int4 primary key,
  email text not null unique check (email like '%@%'),
  country char(2) not null,
  signed_up_at timestamptz not null default now()
);
comment on table sales.customers is 'People who have an account. One row a person.';
comment on column sales.customers.country is 'ISO 3166-1 alpha-2, of the billing address.';

create table sales.products (
  sku text primary key,
  title text not null,
  list_price numeric(10, 2) not null check (list_price >= 0)
);
comment on table sales.products is 'What can be bought.';

create table sales.orders (
  id int4 primary key,
  customer_id int4 not null references sales.customers (id),
  placed_at timestamptz not null,
  status text not null default 'open' check (status in ('open', 'paid', 'cancelled'))
);
comment on column sales.orders.status is 'cancelled orders stay for the record and count nowhere.';
create index orders_by_time on sales.orders (placed_at desc);

create table sales.order_items (
  order_id int4 not null references sales.orders (id) on delete cascade,
  line int4 not null,
  sku text not null references sales.products (sku),
  quantity int4 not null check (quantity > 0),
  unit_price numeric(10, 2) not null,
  primary key (order_id, line)
);
comment on column sales.order_items.unit_price is 'Price at the time of the order, not the list price of today.';

create view sales.order_summary as
  select o.id as order_id, o.customer_id, o.placed_at, o.status, count(i.line) as lines, sum(i.quantity * i.unit_price) as total
  from sales.orders o join sales.order_items i on i.order_id = o.id
  group by o.id, o.customer_id, o.placed_at, o.status;
comment on view sales.order_summary is 'One row an order, with its number of lines and its total.';

create materialized view sales.customer_lifetime_value as
  select s.customer_id, count(*) as orders, sum(s.total) as lifetime_value, max(s.placed_at) as last_order_at
  from sales.order_summary s where s.status = 'paid' group by s.customer_id;
comment on materialized view sales.customer_lifetime_value is 'What each customer has paid so far. Refreshed by hand.';

create function sales.revenue_forecast(months int4, growth numeric default 0.02)
  returns table (month_ahead int4, revenue numeric)
  language sql stable
begin atomic
  select m.n, round(coalesce((select sum(s.total) from sales.order_summary s where s.status = 'paid'), 0) / 12 * (1 + growth) ^ m.n, 2)
  from generate_series(1, months) as m (n);
end;
comment on function sales.revenue_forecast(int4, numeric) is
  'Revenue of the months ahead: a twelfth of all paid orders, with compound growth a month.';

insert into sales.customers (id, email, country) values (1, 'ada@example.org', 'GB'), (2, 'grace@example.org', 'US');
insert into sales.products values ('pen', 'Pen', 2.50), ('ink', 'Ink', 7.00);
insert into sales.orders values (1, 1, '2026-01-05T10:00:00Z', 'paid'), (2, 1, '2026-02-05T10:00:00Z', 'open');
insert into sales.order_items values (1, 1, 'pen', 4, 2.50), (1, 2, 'ink', 1, 7.00), (2, 1, 'ink', 2, 6.50);
refresh materialized view sales.customer_lifetime_value;
analyze;
