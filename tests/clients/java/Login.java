// The Flight SQL JDBC driver at a server that asks for credentials.
//
// `java -cp DRIVER.jar --add-opens=java.base/java.nio=ALL-UNNAMED Login.java HOST:PORT TOKEN` ends with 1 when something is
// not as it should be. The server has the reader "ann", whose password is "password of ann", and TOKEN is hers.

import java.sql.*;
import java.util.Properties;

public class Login {
    static String url;

    public static void main(String[] arguments) throws Exception {
        url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        same("ann", who(password("password of ann")));
        System.out.println("ok      logs in with a password");
        Properties token = new Properties();
        token.setProperty("token", arguments[1]);
        same("ann", who(token));
        System.out.println("ok      logs in with an access token");
        refused(password("another one"), "wrong user name or password");
        refused(new Properties(), "asks for credentials");
        System.out.println("ok      wrong and missing credentials are refused");
        try (Connection connection = DriverManager.getConnection(url, password("password of ann"));
                Statement statement = connection.createStatement()) {
            statement.executeUpdate("CREATE TABLE by_ann AS SELECT 1 AS a");
            throw new AssertionError("a reader wrote");
        } catch (SQLException error) {
            holds(error, "may not run CREATE TABLE");
        }
        System.out.println("ok      a reader cannot write");
        System.exit(0);
    }

    static Properties password(String password) {
        Properties properties = new Properties();
        properties.setProperty("user", "ann");
        properties.setProperty("password", password);
        return properties;
    }

    static String who(Properties properties) throws SQLException {
        try (Connection connection = DriverManager.getConnection(url, properties);
                Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery("SELECT current_user")) {
            result.next();
            return result.getString(1);
        }
    }

    static void refused(Properties properties, String text) {
        try {
            String name = who(properties);
            throw new AssertionError("logged in as " + name);
        } catch (SQLException error) {
            holds(error, text);
        }
    }

    static void holds(Throwable error, String text) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (String.valueOf(cause.getMessage()).contains(text)) return;
        }
        throw new AssertionError("no \"" + text + "\" in it", error);
    }

    static void same(Object expected, Object found) {
        if (!expected.equals(found)) throw new AssertionError("expected " + expected + ", found " + found);
    }
}
