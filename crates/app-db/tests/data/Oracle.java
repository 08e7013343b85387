import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;

/**
 * The independent eye of the tests: runs queries over JDBC and prints their rows in a form that is the same for all
 * databases (the one that the README of the app DB fixtures describes).
 *
 * Arguments: URL USER. Standard input: one "NAME TAB SQL" a line. Output: one "NAME TAB CELL TAB CELL ..." a row;
 * a query that fails gives "NAME TAB !ERROR ...".
 */
public class Oracle {
    private static final DateTimeFormatter UTC = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'Z'");

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Connection connection = DriverManager.getConnection(arguments[0], arguments[1], "");
             PrintWriter out = new PrintWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                int tab = line.indexOf('\t');
                print(connection, line.substring(0, tab), line.substring(tab + 1), out);
            }
        }
    }

    private static void print(Connection connection, String name, String sql, PrintWriter out) {
        try (Statement statement = connection.createStatement()) {
            if (!statement.execute(sql)) {
                return;
            }
            ResultSet rows = statement.getResultSet();
            ResultSetMetaData meta = rows.getMetaData();
            while (rows.next()) {
                StringBuilder row = new StringBuilder(name);
                for (int column = 1; column <= meta.getColumnCount(); column++) {
                    row.append('\t').append(cell(rows, meta, column));
                }
                out.print(row.append('\n'));
            }
        } catch (Exception error) {
            out.print(name + "\t!ERROR " + escaped(String.valueOf(error.getMessage())) + "\n");
        }
    }

    private static String cell(ResultSet rows, ResultSetMetaData meta, int column) throws Exception {
        if (rows.getObject(column) == null) {
            return "\\N";
        }
        int type = meta.getColumnType(column);
        String typeName = meta.getColumnTypeName(column);
        if (type == Types.TIMESTAMP_WITH_TIMEZONE || typeName.equals("timestamptz")) {
            OffsetDateTime moment = rows.getObject(column, OffsetDateTime.class);
            return UTC.format(moment.withOffsetSameInstant(ZoneOffset.UTC));
        }
        switch (type) {
            case Types.BOOLEAN:
            case Types.BIT:
                return rows.getBoolean(column) ? "t" : "f";
            case Types.TIMESTAMP:
                return UTC.format(rows.getObject(column, LocalDateTime.class));
            case Types.BINARY:
            case Types.VARBINARY:
            case Types.LONGVARBINARY:
            case Types.BLOB:
                StringBuilder hex = new StringBuilder();
                for (byte one : rows.getBytes(column)) {
                    hex.append(String.format("%02x", one));
                }
                return hex.toString();
            case Types.NUMERIC:
            case Types.DECIMAL:
                BigDecimal number = rows.getBigDecimal(column);
                return number.toPlainString();
            case Types.REAL:
            case Types.DOUBLE:
                return Double.toString(rows.getDouble(column));
            case Types.CHAR:
                return escaped(rows.getString(column).replaceAll(" +$", ""));
            default:
                return escaped(rows.getString(column));
        }
    }

    private static String escaped(String text) {
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
    }
}
