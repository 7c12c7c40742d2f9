// The Flight SQL JDBC driver against a server: what DBeaver, Tableau and other tools ask through it.
//
// `java -cp DRIVER.jar --add-opens=java.base/java.nio=ALL-UNNAMED Check.java HOST:PORT [AUTHORITY.pem]` prints a line per
// check and ends with 1 when one of them failed; with an authority it encrypts.

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;

public class Check {
    interface Work { void run() throws Exception; }

    static String url;
    static int passed, failed;

    public static void main(String[] arguments) {
        boolean encrypted = arguments.length > 1;
        url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=" + encrypted;
        if (encrypted) url += "&tlsRootCerts=" + arguments[1];
        check("connects and says who it is", Check::identity);
        check("browses as DBeaver does", Check::browse);
        check("values of all types come as they are", Check::types);
        check("parameters are bound by place, NULL too", Check::parameters);
        check("a batch is one commit", Check::batch);
        check("big results stream", Check::big);
        check("errors have their text", Check::errors);
        check("a query can be cancelled", Check::cancel);
        check("transactions are told to be absent", Check::transactions);
        check("a schema can be chosen for a connection", Check::schema);
        System.out.println("java: " + passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    static void check(String name, Work work) {
        try {
            work.run();
            passed++;
            System.out.println("ok      " + name);
        } catch (Throwable error) {
            failed++;
            System.out.println("FAILED  " + name);
            error.printStackTrace(System.out);
        }
    }

    static Connection connect() throws SQLException { return DriverManager.getConnection(url); }

    static void same(Object expected, Object found) {
        if (!Objects.equals(expected, found)) throw new AssertionError("expected " + expected + ", found " + found);
    }

    static SQLException fails(Work work) throws Exception {
        try {
            work.run();
        } catch (SQLException error) {
            return error;
        }
        throw new AssertionError("no error");
    }

    static void run(Connection connection, String... statements) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            for (String sql : statements) statement.execute(sql);
        }
    }

    static List<List<Object>> rows(ResultSet result) throws SQLException {
        List<List<Object>> rows = new ArrayList<>();
        while (result.next()) {
            List<Object> row = new ArrayList<>();
            for (int i = 1; i <= result.getMetaData().getColumnCount(); i++) row.add(result.getObject(i));
            rows.add(row);
        }
        result.close();
        return rows;
    }

    static List<List<Object>> query(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return rows(statement.executeQuery(sql));
        }
    }

    static void identity() throws Exception {
        try (Connection connection = connect()) {
            DatabaseMetaData about = connection.getMetaData();
            same("Boathouse", about.getDatabaseProductName());
            same("\"", about.getIdentifierQuoteString());
            same(false, about.isReadOnly());
            // The driver casts each value to the class that it expects, and tools ask for all of them.
            List<String> broken = new ArrayList<>();
            for (Method method : DatabaseMetaData.class.getMethods()) {
                Class<?> type = method.getReturnType();
                if (method.getParameterCount() > 0 || !(type.isPrimitive() || type == String.class)) continue;
                try {
                    method.invoke(about);
                } catch (InvocationTargetException error) {
                    Throwable cause = error.getCause();
                    if (cause instanceof SQLException || cause instanceof UnsupportedOperationException) continue;
                    broken.add(method.getName() + ": " + cause);
                }
            }
            same(List.of(), broken);
            same(true, connection.isValid(5));
        }
    }

    static void browse() throws Exception {
        try (Connection connection = connect()) {
            run(connection, "CREATE TABLE walked (id BIGINT NOT NULL, price DECIMAL(12, 2), word VARCHAR)");
            DatabaseMetaData about = connection.getMetaData();
            same("lake", rows(about.getCatalogs()).get(0).get(0));
            same(List.of("TABLE"), rows(about.getTableTypes()).get(0));
            List<Object> schemas = new ArrayList<>();
            for (List<Object> row : rows(about.getSchemas("lake", "%"))) schemas.add(row.get(0));
            same(true, schemas.contains("main"));
            List<List<Object>> tables = rows(about.getTables("lake", "main", "walk%", new String[] {"TABLE"}));
            same(1, tables.size());
            same("walked", tables.get(0).get(2));
            Map<String, List<Object>> columns = new LinkedHashMap<>();
            ResultSet result = about.getColumns("lake", "main", "walked", "%");
            while (result.next()) {
                columns.put(result.getString("COLUMN_NAME"), List.of(result.getInt("DATA_TYPE"), result.getInt("NULLABLE")));
            }
            result.close();
            same(List.of("id", "price", "word"), new ArrayList<>(columns.keySet()));
            same(List.of(Types.BIGINT, DatabaseMetaData.columnNoNulls), columns.get("id"));
            same(List.of(Types.DECIMAL, DatabaseMetaData.columnNullable), columns.get("price"));
            same(Types.VARCHAR, columns.get("word").get(0));
            same(0, rows(about.getPrimaryKeys("lake", "main", "walked")).size());
            same(0, rows(about.getImportedKeys("lake", "main", "walked")).size());
            same(0, rows(about.getExportedKeys("lake", "main", "walked")).size());
            same(0, rows(about.getCrossReference("lake", "main", "walked", "lake", "main", "walked")).size());
        }
    }

    static void types() throws Exception {
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            ResultSet row = statement.executeQuery(
                "SELECT true, CAST(-1 AS TINYINT), CAST(2 AS SMALLINT), CAST(3 AS INT), CAST(4 AS BIGINT), CAST(0.5 AS REAL),"
                + " CAST(1.5 AS DOUBLE), CAST(12.34 AS DECIMAL(10, 2)), 'größe', X'00ff', DATE '2026-02-03',"
                + " TIMESTAMP '2026-02-03 04:05:06.789', CAST(NULL AS INT)");
            same(true, row.next());
            same(true, row.getBoolean(1));
            for (int column = 2; column <= 5; column++) same(column == 2 ? -1L : column - 1L, row.getLong(column));
            same(0.5f, row.getFloat(6));
            same(1.5, row.getDouble(7));
            same(new BigDecimal("12.34"), row.getBigDecimal(8));
            same("größe", row.getString(9));
            same("[0, -1]", Arrays.toString(row.getBytes(10)));
            same("2026-02-03", row.getDate(11).toString());
            same(true, row.getTimestamp(12).toString().startsWith("2026-02-03"));
            same(0, row.getInt(13));
            same(true, row.wasNull());
            same(false, row.next());
        }
    }

    static void parameters() throws Exception {
        try (Connection connection = connect()) {
            run(connection, "CREATE TABLE placed (n BIGINT, word VARCHAR)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO placed VALUES (?, ?)")) {
                insert.setLong(1, 1);
                insert.setString(2, "one");
                same(1, insert.executeUpdate());
                insert.setLong(1, 2);
                insert.setNull(2, Types.VARCHAR);
                same(1, insert.executeUpdate());
            }
            try (PreparedStatement select = connection.prepareStatement("SELECT word FROM placed WHERE n = ?")) {
                select.setLong(1, 1);
                same(List.of(List.of("one")), rows(select.executeQuery()));
                select.setLong(1, 2);
                same(Collections.singletonList(Collections.singletonList(null)), rows(select.executeQuery()));
            }
        }
    }

    static void batch() throws Exception {
        try (Connection connection = connect()) {
            run(connection, "CREATE TABLE batched (n BIGINT, word VARCHAR)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO batched VALUES (?, ?)")) {
                for (long n = 0; n < 500; n++) {
                    insert.setLong(1, n);
                    insert.setString(2, "word " + n);
                    insert.addBatch();
                }
                insert.executeBatch();
            }
            same(List.of(List.of(500L)), query(connection, "SELECT count(*) FROM batched"));
            try (Statement statement = connection.createStatement()) {
                ResultSet history = statement.executeQuery("DESCRIBE HISTORY batched");
                int commits = 0;
                while (history.next()) commits++;
                history.close();
                same(2, commits);
            }
        }
    }

    static void big() throws Exception {
        try (Connection connection = connect(); Statement statement = connection.createStatement()) {
            ResultSet result = statement.executeQuery("SELECT value, 'row ' || value FROM generate_series(1, 300000)");
            long count = 0;
            while (result.next()) count++;
            same(300000L, count);
        }
    }

    static void errors() throws Exception {
        try (Connection connection = connect()) {
            SQLException error = fails(() -> query(connection, "SELECT nothing FROM nowhere"));
            same(true, error.toString().contains("nowhere"));
            same(List.of(List.of(1L)), query(connection, "SELECT 1"));
        }
    }

    static void cancel() throws Exception {
        Connection cancelled = connect();
        try (Statement statement = cancelled.createStatement()) {
            ResultSet result = statement.executeQuery("SELECT value FROM generate_series(1, 1000000000000)");
            same(true, result.next());
            ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
            timer.schedule(() -> { statement.cancel(); return null; }, 300, TimeUnit.MILLISECONDS);
            long started = System.nanoTime();
            try {
                while (result.next()) { }
            } catch (SQLException | RuntimeException ended) {
                // Some versions of the driver end the rows, others fail.
            }
            timer.shutdown();
            same(true, System.nanoTime() - started < 30_000_000_000L);
        }
        closeQuietly(cancelled);
        try (Connection connection = connect()) {
            same(List.of(List.of(1L)), query(connection, "SELECT 1"));
        }
    }

    // The driver fails on what it left of cancelled rows, and closes a session after its channel.
    static void closeQuietly(Connection connection) {
        try {
            connection.close();
        } catch (SQLException ofTheDriver) {
            System.out.println("        closing: " + ofTheDriver.getMessage());
        }
    }

    static void transactions() throws Exception {
        try (Connection connection = connect()) {
            same(false, connection.getMetaData().supportsTransactions());
            fails(() -> run(connection, "BEGIN"));
        }
    }

    static void schema() throws Exception {
        try (Connection connection = connect()) {
            run(connection, "CREATE SCHEMA aside", "CREATE TABLE aside.here AS SELECT CAST(5 AS BIGINT) AS five");
            run(connection, "USE aside");
            same(List.of(List.of(5L)), query(connection, "SELECT five FROM here"));
        }
        Connection connection = DriverManager.getConnection(url + "&catalog=lake");
        same(List.of(List.of(5L)), query(connection, "SELECT five FROM aside.here"));
        closeQuietly(connection);
    }
}
