import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.h2.value.Value;
import org.h2.value.ValueDate;
import org.h2.value.ValueDecfloat;
import org.h2.value.ValueInterval;
import org.h2.value.ValueTime;
import org.h2.value.ValueTimeTimeZone;
import org.h2.value.ValueTimestamp;
import org.h2.value.ValueTimestampTimeZone;

/**
 * Real H2 as the judge of files: runs the lines of standard input and prints one line per row.
 *
 * A line is `!connect URL` (user "" and no password, or `!connect URL USER PASSWORD`), `!close`, or one SQL
 * statement in which \n and \\ are escapes. Answers: `= cell<TAB>cell`, `. rows`, or `! SQLSTATE message`;
 * `;` ends the answer to a line. Cells show what H2 holds inside, not what it would print.
 */
public class Oracle {
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        boolean assertions = false;
        assert assertions = true;
        if (!assertions) {
            throw new IllegalStateException("run with -ea");
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Connection connection = null;
        String line;
        while ((line = in.readLine()) != null) {
            try {
                if (line.startsWith("!connect ")) {
                    String[] words = line.split(" ");
                    connection = DriverManager.getConnection(words[1], words.length > 2 ? words[2] : "",
                            words.length > 3 ? words[3] : "");
                    OUT.println(". 0");
                } else if (line.equals("!close")) {
                    connection.close();
                    OUT.println(". 0");
                } else {
                    run(connection, unescape(line));
                }
            } catch (SQLException e) {
                OUT.println("! " + e.getSQLState() + " " + escape(String.valueOf(e.getMessage())));
            } catch (Throwable e) {
                OUT.println("! BROKEN " + escape(String.valueOf(e)));
            }
            OUT.println(";");
            OUT.flush();
        }
        OUT.flush();
        System.exit(0);
    }

    private static void run(Connection connection, String sql) throws Exception {
        try (Statement statement = connection.createStatement()) {
            boolean hasRows = statement.execute(sql);
            if (sql.startsWith("SHUTDOWN")) {
                OUT.println(". 0");
                return;
            }
            if (!hasRows) {
                OUT.println(". " + statement.getUpdateCount());
                return;
            }
            ResultSet rows = statement.getResultSet();
            int columns = rows.getMetaData().getColumnCount();
            Method internal = rows.getClass().getMethod("getInternal", int.class);
            int count = 0;
            StringBuilder out = new StringBuilder();
            while (rows.next()) {
                out.setLength(0);
                out.append("= ");
                for (int i = 1; i <= columns; i++) {
                    if (i > 1) {
                        out.append('\t');
                    }
                    cell(out, (Value) internal.invoke(rows, i));
                }
                OUT.println(out);
                count++;
            }
            OUT.println(". " + count);
        }
    }

    private static void cell(StringBuilder out, Value v) throws Exception {
        switch (v.getValueType()) {
        case Value.NULL:
            out.append("null");
            return;
        case Value.REAL:
            out.append("real:").append(Integer.toHexString(Float.floatToIntBits(v.getFloat())));
            return;
        case Value.DOUBLE:
            out.append("double:").append(Long.toHexString(Double.doubleToLongBits(v.getDouble())));
            return;
        case Value.NUMERIC:
            decimal(out.append("numeric:"), v.getBigDecimal());
            return;
        case Value.DECFLOAT:
            if (((ValueDecfloat) v).isFinite()) {
                decimal(out.append("decfloat:"), v.getBigDecimal());
            } else {
                out.append("decfloat:").append(v.getString());
            }
            return;
        case Value.CHAR:
        case Value.VARCHAR:
        case Value.VARCHAR_IGNORECASE:
        case Value.CLOB:
            out.append("text:").append(escape(v.getString()));
            return;
        case Value.BINARY:
        case Value.VARBINARY:
        case Value.BLOB:
        case Value.JAVA_OBJECT:
        case Value.GEOMETRY:
        case Value.JSON:
        case Value.UUID:
            out.append("bytes:");
            for (byte b : v.getBytes()) {
                out.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
            }
            return;
        case Value.DATE:
            out.append("date:").append(((ValueDate) v).getDateValue());
            return;
        case Value.TIME:
            out.append("time:").append(((ValueTime) v).getNanos());
            return;
        case Value.TIME_TZ: {
            ValueTimeTimeZone t = (ValueTimeTimeZone) v;
            out.append("timetz:").append(t.getNanos()).append(' ').append(t.getTimeZoneOffsetSeconds());
            return;
        }
        case Value.TIMESTAMP: {
            ValueTimestamp t = (ValueTimestamp) v;
            out.append("ts:").append(t.getDateValue()).append(' ').append(t.getTimeNanos());
            return;
        }
        case Value.TIMESTAMP_TZ: {
            ValueTimestampTimeZone t = (ValueTimestampTimeZone) v;
            out.append("tstz:").append(t.getDateValue()).append(' ').append(t.getTimeNanos()).append(' ')
                    .append(t.getTimeZoneOffsetSeconds());
            return;
        }
        case Value.ENUM:
            out.append("enum:").append(v.getInt());
            return;
        case Value.ARRAY:
        case Value.ROW: {
            Value[] list = ((org.h2.value.ValueCollectionBase) v).getList();
            out.append('[');
            for (int i = 0; i < list.length; i++) {
                if (i > 0) {
                    out.append(", ");
                }
                cell(out, list[i]);
            }
            out.append(']');
            return;
        }
        default:
            if (v instanceof ValueInterval) {
                ValueInterval i = (ValueInterval) v;
                out.append("interval:").append(i.getQualifier().ordinal()).append(i.isNegative() ? " -" : " +")
                        .append(i.getLeading()).append(' ').append(i.getRemaining());
            } else {
                out.append(v.getString().toLowerCase(java.util.Locale.ROOT));
            }
        }
    }

    private static void decimal(StringBuilder out, BigDecimal d) {
        out.append(d.unscaledValue()).append(" e").append(d.scale());
    }

    private static String escape(String text) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '\\') {
                out.append("\\\\");
            } else if (c == '\n') {
                out.append("\\n");
            } else if (c == '\t') {
                out.append("\\t");
            } else if (c == '\r') {
                out.append("\\r");
            } else if (c < ' ' || c > '~') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.toString();
    }

    private static String unescape(String line) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < line.length(); i++) {
            char c = line.charAt(i);
            if (c == '\\' && i + 1 < line.length()) {
                char next = line.charAt(++i);
                out.append(next == 'n' ? '\n' : next);
            } else {
                out.append(c);
            }
        }
        return out.toString();
    }
}
