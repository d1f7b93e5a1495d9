-- Inserts, an index, joins, updates: what a small database does, in memory.
CREATE TABLE item(id INTEGER PRIMARY KEY, owner INTEGER, name TEXT, price REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO item SELECT i, i * 7919 % 997, 'name ' || (i * 31 % 10007), i % 100 / 3.0 FROM n;
CREATE INDEX by_owner ON item(owner);
CREATE INDEX by_name ON item(name);
SELECT count(*), round(sum(price), 3) FROM item WHERE owner BETWEEN 100 AND 500;
SELECT a.owner, count(*) FROM item a JOIN item b ON a.name = b.name AND a.id < b.id GROUP BY a.owner ORDER BY 2 DESC, 1 LIMIT 5;
UPDATE item SET price = price * 1.1 WHERE id % 3 = 0;
DELETE FROM item WHERE owner % 5 = 1;
SELECT count(*), round(sum(price), 3), max(name) FROM item;
