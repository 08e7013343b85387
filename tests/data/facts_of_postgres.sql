SET search_path = public;
SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
    || CASE a.attidentity WHEN 'd' THEN ' IDENTITY BY DEFAULT' WHEN 'a' THEN ' IDENTITY ALWAYS' ELSE '' END
    || CASE WHEN a.attgenerated <> '' THEN ' GENERATED ' || a.attgenerated::text ELSE '' END
    || coalesce(' DEFAULT ' || regexp_replace(pg_get_expr(d.adbin, d.adrelid), '\s+', ' ', 'g'), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped;
SELECT 'order of ' || c.relname || ' ' || string_agg(a.attname, ' ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY c.relname;
SELECT 'constraint of ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    || CASE WHEN convalidated THEN '' ELSE ' NOT VALIDATED' END
    || CASE WHEN condeferrable THEN ' DEFERRABLE' ELSE '' END
FROM pg_constraint WHERE connamespace = 'public'::regnamespace;
SELECT 'index ' || regexp_replace(pg_get_indexdef(i.indexrelid), '\s+', ' ', 'g')
    || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u'));
SELECT 'sequence ' || c.relname || ' ' || s.seqtypid::regtype || ' start ' || s.seqstart || ' by ' || s.seqincrement
    || ' to ' || s.seqmax || ' cache ' || s.seqcache || ' owned by ' || coalesce(d.refobjid::regclass::text, 'nobody')
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refclassid = 'pg_class'::regclass
WHERE c.relnamespace = 'public'::regnamespace;
SELECT 'view column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0;
SELECT 'query of ' || c.relname || ' ' || regexp_replace(pg_get_viewdef(c.oid), '\s+', ' ', 'g')
FROM pg_class c WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace;
SELECT 'comment on ' || c.relname || coalesce('.' || a.attname, '') || ' '
    || regexp_replace(d.description, '\s+', ' ', 'g')
FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND a.attnum > 0
WHERE c.relnamespace = 'public'::regnamespace;
SELECT 'extension ' || extname || ' in ' || extnamespace::regnamespace FROM pg_extension;
SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal;
SELECT 'relation ' || relname || ' ' || relkind::text || relpersistence::text || coalesce(' ' || reloptions::text, '')
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i';
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema';
