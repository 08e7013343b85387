-- What a MariaDB's catalogue says of the session's database, one fact a row.
SET SESSION group_concat_max_len = 1000000;
SELECT concat('table ', table_name, ' ', engine, ' ', table_collation, ' ', coalesce(create_options, ''))
FROM information_schema.tables WHERE table_schema = database() AND table_type = 'BASE TABLE';
SELECT concat('comment on ', table_name, ' ', table_comment)
FROM information_schema.tables WHERE table_schema = database() AND table_type = 'BASE TABLE' AND table_comment <> '';
SELECT concat('column ', table_name, '.', column_name, ' ', column_type, ' ', coalesce(collation_name, '-'),
    if(is_nullable = 'YES', '', ' NOT NULL'), if(column_default IS NULL OR column_default = 'NULL', '', concat(' DEFAULT ', column_default)),
    if(extra = '', '', concat(' ', extra)), coalesce(concat(' AS ', generation_expression), ''))
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE table_schema = database() AND table_type = 'BASE TABLE';
SELECT concat('order of ', table_name, ' ', group_concat(column_name ORDER BY ordinal_position SEPARATOR ' '))
FROM information_schema.columns WHERE table_schema = database() GROUP BY table_name;
SELECT concat('index of ', table_name, ' ', index_name, if(non_unique, '', ' UNIQUE'), ' (',
    group_concat(column_name, coalesce(concat('(', sub_part, ')'), ''), if(collation = 'D', ' DESC', '') ORDER BY seq_in_index SEPARATOR ', '),
    ') ', index_type)
FROM information_schema.statistics WHERE table_schema = database() GROUP BY table_name, index_name, non_unique, index_type;
SELECT concat('foreign key of ', k.table_name, ' ', k.constraint_name, ' (',
    group_concat(k.column_name ORDER BY k.ordinal_position SEPARATOR ', '), ') to ', k.referenced_table_name, ' (',
    group_concat(k.referenced_column_name ORDER BY k.ordinal_position SEPARATOR ', '), ') DELETE ', r.delete_rule, ' UPDATE ', r.update_rule)
FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r
    ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
WHERE k.table_schema = database() AND k.referenced_table_name IS NOT NULL
GROUP BY k.table_name, k.constraint_name, k.referenced_table_name, r.delete_rule, r.update_rule;
SELECT concat('check of ', table_name, ' ', constraint_name, ' ', check_clause)
FROM information_schema.check_constraints WHERE constraint_schema = database();
SELECT concat('view ', table_name, ' ', security_type, ' ', algorithm, ' ', collation_connection)
FROM information_schema.views WHERE table_schema = database();
SELECT concat('view column ', table_name, '.', column_name, ' ', column_type, ' ', coalesce(collation_name, '-'))
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE table_schema = database() AND table_type = 'VIEW';
SELECT concat('query of ', table_name, ' ', replace(view_definition, concat('`', database(), '`.'), ''))
FROM information_schema.views WHERE table_schema = database();
SELECT concat('comment on ', table_name, '.', column_name, ' ', column_comment)
FROM information_schema.columns WHERE table_schema = database() AND column_comment <> '';
SELECT concat('trigger ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = database();
