import java.io.FileReader;
import java.io.Reader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** Copies tables from Postgres into a new H2 file, the way a Java program would: SELECT *, INSERT in batches of 1000. */
public final class JdbcCopy {
    private static final int BATCH_ROWS = 1000;

    private JdbcCopy() {}

    public static void main(String[] args) throws Exception {
        if (args.length < 4) {
            System.err.println("usage: JdbcCopy POSTGRES-JDBC-URL H2-FILE SCHEMA.sql TABLE...");
            System.exit(2);
        }
        String target = "jdbc:h2:file:" + args[1];
        long rows = 0;
        try (Connection from = DriverManager.getConnection(args[0]);
                Connection to = DriverManager.getConnection(target, "", "")) {
            try (Reader schema = new FileReader(args[2])) {
                org.h2.tools.RunScript.execute(to, schema);
            }
            from.setAutoCommit(false); // With it on, the driver would fetch a whole table at once.
            from.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            to.setAutoCommit(false);
            try (Statement statement = to.createStatement()) {
                statement.execute("SET REFERENTIAL_INTEGRITY FALSE");
            }
            for (int i = 3; i < args.length; i++) {
                rows += copy(from, to, args[i]);
            }
            try (Statement statement = to.createStatement()) {
                statement.execute("SET REFERENTIAL_INTEGRITY TRUE");
                to.commit();
                statement.execute("CHECKPOINT SYNC");
                statement.execute("SHUTDOWN");
            } catch (SQLException closed) {
                if (closed.getErrorCode() != 90121) { // Database is already closed: what SHUTDOWN is for.
                    throw closed;
                }
            }
        }
        System.out.println(rows);
    }

    private static long copy(Connection from, Connection to, String table) throws SQLException {
        Set<String> generated = generatedColumns(to, table);
        long rows = 0;
        try (Statement select = from.createStatement()) {
            select.setFetchSize(BATCH_ROWS);
            try (ResultSet row = select.executeQuery("SELECT * FROM \"" + table + "\"")) {
                List<Integer> columns = new ArrayList<>();
                StringBuilder names = new StringBuilder();
                StringBuilder marks = new StringBuilder();
                for (int i = 1; i <= row.getMetaData().getColumnCount(); i++) {
                    String name = row.getMetaData().getColumnName(i).toUpperCase(Locale.ROOT);
                    if (generated.contains(name)) {
                        continue;
                    }
                    names.append(columns.isEmpty() ? "\"" : ", \"").append(name).append('"');
                    marks.append(columns.isEmpty() ? "?" : ", ?");
                    columns.add(i);
                }
                String sql = "INSERT INTO \"" + table.toUpperCase(Locale.ROOT) + "\" (" + names + ") VALUES (" + marks + ")";
                try (PreparedStatement insert = to.prepareStatement(sql)) {
                    while (row.next()) {
                        for (int i = 0; i < columns.size(); i++) {
                            bind(insert, i + 1, row, columns.get(i));
                        }
                        insert.addBatch();
                        rows++;
                        if (rows % BATCH_ROWS == 0) {
                            insert.executeBatch();
                        }
                    }
                    insert.executeBatch();
                }
            }
        }
        to.commit();
        return rows;
    }

    private static void bind(PreparedStatement insert, int at, ResultSet row, int column) throws SQLException {
        switch (row.getMetaData().getColumnTypeName(column)) {
            case "timestamptz" -> insert.setObject(at, row.getObject(column, OffsetDateTime.class));
            case "timestamp" -> insert.setObject(at, row.getObject(column, LocalDateTime.class));
            case "date" -> insert.setObject(at, row.getObject(column, LocalDate.class));
            case "bytea" -> insert.setBytes(at, row.getBytes(column));
            case "bool" -> {
                boolean value = row.getBoolean(column);
                if (row.wasNull()) {
                    insert.setNull(at, Types.BOOLEAN);
                } else {
                    insert.setBoolean(at, value);
                }
            }
            case "int2", "int4", "int8", "serial", "bigserial" -> {
                long value = row.getLong(column);
                if (row.wasNull()) {
                    insert.setNull(at, Types.BIGINT);
                } else {
                    insert.setLong(at, value);
                }
            }
            case "numeric" -> insert.setBigDecimal(at, row.getBigDecimal(column));
            case "float4", "float8" -> insert.setObject(at, row.getObject(column));
            default -> insert.setString(at, row.getString(column));
        }
    }

    private static Set<String> generatedColumns(Connection to, String table) throws SQLException {
        Set<String> names = new HashSet<>();
        String sql = "SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS"
                + " WHERE TABLE_SCHEMA = 'PUBLIC' AND TABLE_NAME = ? AND IS_GENERATED = 'ALWAYS'";
        try (PreparedStatement query = to.prepareStatement(sql)) {
            query.setString(1, table.toUpperCase(Locale.ROOT));
            try (ResultSet row = query.executeQuery()) {
                while (row.next()) {
                    names.add(row.getString(1));
                }
            }
        }
        return names;
    }
}
