import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Copies tables from an H2 file into a Postgres that has the schema, the way Metabase's own loading does: SELECT *, INSERT in
 * batches of 100, foreign keys off, one transaction.
 */
public final class JdbcLoad {
    private static final int BATCH_ROWS = 100;

    private JdbcLoad() {}

    public static void main(String[] args) throws Exception {
        if (args.length < 3) {
            System.err.println("usage: JdbcLoad H2-FILE POSTGRES-JDBC-URL TABLE...");
            System.exit(2);
        }
        long rows = 0;
        try (Connection from = DriverManager.getConnection("jdbc:h2:file:" + args[0] + ";ACCESS_MODE_DATA=r", "", "");
                Connection to = DriverManager.getConnection(args[1])) {
            to.setAutoCommit(false);
            try (Statement statement = to.createStatement()) {
                statement.execute("SET session_replication_role = replica");
                for (int i = 2; i < args.length; i++) {
                    statement.execute("TRUNCATE \"" + args[i] + "\" CASCADE");
                }
            }
            for (int i = 2; i < args.length; i++) {
                rows += copy(from, to, args[i]);
            }
            to.commit();
        }
        System.out.println(rows);
    }

    private static long copy(Connection from, Connection to, String table) throws SQLException {
        Set<String> generated = generatedColumns(to, table);
        long rows = 0;
        try (Statement select = from.createStatement();
                ResultSet row = select.executeQuery("SELECT * FROM \"" + table.toUpperCase(Locale.ROOT) + "\"")) {
            List<Integer> columns = new ArrayList<>();
            StringBuilder names = new StringBuilder();
            StringBuilder marks = new StringBuilder();
            for (int i = 1; i <= row.getMetaData().getColumnCount(); i++) {
                String name = row.getMetaData().getColumnName(i).toLowerCase(Locale.ROOT);
                if (generated.contains(name)) {
                    continue;
                }
                names.append(columns.isEmpty() ? "\"" : ", \"").append(name).append('"');
                marks.append(columns.isEmpty() ? "?" : ", ?");
                columns.add(i);
            }
            String sql = "INSERT INTO \"" + table + "\" (" + names + ") VALUES (" + marks + ")";
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
        return rows;
    }

    private static void bind(PreparedStatement insert, int at, ResultSet row, int column) throws SQLException {
        switch (row.getMetaData().getColumnType(column)) {
            case Types.TIMESTAMP_WITH_TIMEZONE -> insert.setObject(at, row.getObject(column, OffsetDateTime.class));
            case Types.TIMESTAMP -> insert.setObject(at, row.getObject(column, LocalDateTime.class));
            case Types.BLOB, Types.BINARY, Types.VARBINARY -> insert.setBytes(at, row.getBytes(column));
            case Types.CLOB -> insert.setString(at, row.getString(column));
            case Types.BOOLEAN, Types.INTEGER, Types.BIGINT, Types.SMALLINT, Types.DOUBLE, Types.NUMERIC ->
                insert.setObject(at, row.getObject(column));
            default -> insert.setString(at, row.getString(column));
        }
    }

    private static Set<String> generatedColumns(Connection to, String table) throws SQLException {
        Set<String> names = new HashSet<>();
        String sql = "SELECT column_name FROM information_schema.columns"
                + " WHERE table_schema = 'public' AND table_name = ? AND is_generated = 'ALWAYS'";
        try (PreparedStatement query = to.prepareStatement(sql)) {
            query.setString(1, table);
            try (ResultSet row = query.executeQuery()) {
                while (row.next()) {
                    names.add(row.getString(1));
                }
            }
        }
        return names;
    }
}
