-- Tables that the faults of this directory use. The author of the contracts may use all but payroll.
CREATE TABLE accounts (id text PRIMARY KEY, owner text NOT NULL, balance numeric(18,2) NOT NULL, credit numeric(18,2), rate numeric, kind text, shares integer,
                       points bigint, updated_at timestamptz);
CREATE INDEX ON accounts (owner);
CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, item bigint, quantity integer NOT NULL, price numeric(12,2) NOT NULL, status text NOT NULL,
                     placed_at timestamptz, note text);
CREATE INDEX ON orders (customer);
CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL, stock integer NOT NULL, price numeric(12,2) NOT NULL, category text NOT NULL);
CREATE INDEX ON items (category);
CREATE TABLE audit (id text PRIMARY KEY, who text, what text, at timestamptz);
CREATE TABLE users (name text PRIMARY KEY, password text, role text, is_admin boolean NOT NULL);
CREATE TABLE auctions (id bigint PRIMARY KEY, seller text NOT NULL, bidder text, bid numeric(18,2) NOT NULL, ends_at timestamptz NOT NULL, closed boolean NOT NULL);
CREATE TABLE proposals (id bigint PRIMARY KEY, yes integer NOT NULL, no integer NOT NULL, quorum integer NOT NULL, executed boolean NOT NULL, action text);
CREATE TABLE payees (account text, payee text, part integer NOT NULL, PRIMARY KEY (account, payee));
CREATE TABLE tokens (holder text PRIMARY KEY, amount bigint NOT NULL);
CREATE TABLE allowances (owner text, spender text, amount bigint NOT NULL, PRIMARY KEY (owner, spender));
CREATE TABLE games (id bigint PRIMARY KEY, player text NOT NULL, stake numeric(18,2) NOT NULL, guess integer NOT NULL);
CREATE TABLE payroll (person text PRIMARY KEY, amount numeric(12,2) NOT NULL);
CREATE TABLE sessions (token uuid DEFAULT gen_random_uuid(), name text PRIMARY KEY, at timestamptz DEFAULT clock_timestamp());
CREATE VIEW lucky AS SELECT id, random() AS draw FROM accounts;
CREATE FUNCTION spot_rate(currency text) RETURNS numeric LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 1 + random(); END';
CREATE FUNCTION vat() RETURNS numeric LANGUAGE plpgsql STABLE AS 'BEGIN RETURN current_setting(''app.vat'')::numeric; END';
CREATE SEQUENCE numbers;
