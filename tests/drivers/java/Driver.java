import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** pgjdbc through the pooler, with its defaults: statements get names after five uses. */
public class Driver {
  interface Work {
    void run() throws Exception;
  }

  static Connection connect() throws SQLException {
    return connect("");
  }

  static Connection connect(String options) throws SQLException {
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
        + "/" + System.getenv("PGDATABASE") + options;
    return DriverManager.getConnection(url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"));
  }

  static void check(boolean good, String what) {
    if (!good) throw new AssertionError(what);
  }

  static void fails(String state, Work work) throws Exception {
    try {
      work.run();
    } catch (SQLException error) {
      check(state.equals(error.getSQLState()), error + ", expected " + state);
      return;
    }
    throw new AssertionError("no error " + state);
  }

  static int number(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      return rows.getInt(1);
    }
  }

  static void execute(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  static void transactions() throws Exception {
    try (Connection connection = connect()) {
      execute(connection, "create table jd (id int primary key)");
      connection.setAutoCommit(false);
      execute(connection, "insert into jd values (1)");
      connection.commit();
      execute(connection, "insert into jd values (2)");
      connection.rollback();
      check(number(connection, "select count(*) from jd") == 1, "one row");
      connection.commit();
    }
  }

  static void errors() throws Exception {
    try (Connection connection = connect()) {
      fails("22012", () -> execute(connection, "select 1/0"));
      connection.setAutoCommit(false);
      fails("42601", () -> execute(connection, "selec"));
      fails("25P02", () -> execute(connection, "select 1"));
      connection.rollback();
      check(number(connection, "select 7") == 7, "usable after errors");
      connection.commit();
    }
  }

  static void copies() throws Exception {
    try (Connection connection = connect()) {
      execute(connection, "create table jdc (a int, b text)");
      StringBuilder text = new StringBuilder();
      for (int n = 0; n < 20000; n++) text.append(n).append("\tvalue\n");
      CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
      check(copy.copyIn("copy jdc from stdin", new StringReader(text.toString())) == 20000, "in");
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      check(copy.copyOut("copy jdc to stdout", out) == 20000, "out");
      check(out.size() == text.length(), "size of what came out");
      fails("22P02", () -> copy.copyIn("copy jdc from stdin", new StringReader("bad\n")));
    }
  }

  static void largeValues() throws Exception {
    byte[] value = new byte[8 << 20];
    Arrays.fill(value, (byte) 200);
    try (Connection connection = connect();
        PreparedStatement statement = connection.prepareStatement("select ?::bytea")) {
      statement.setBytes(1, value);
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        check(Arrays.equals(rows.getBytes(1), value), "large value");
      }
    }
  }

  static void prepared() throws Exception {
    try (Connection connection = connect()) {
      try (PreparedStatement statement = connection.prepareStatement("select ?::int * 2")) {
        for (int n = 0; n < 30; n++) {
          statement.setInt(1, n);
          try (ResultSet rows = statement.executeQuery()) {
            rows.next();
            check(rows.getInt(1) == n * 2, "prepared");
          }
        }
      }
      execute(connection, "create table jdb (n int)");
      try (PreparedStatement statement =
          connection.prepareStatement("insert into jdb values (?)")) {
        for (int n = 0; n < 1000; n++) {
          statement.setInt(1, n);
          statement.addBatch();
        }
        check(statement.executeBatch().length == 1000, "batch");
      }
      connection.setAutoCommit(false);
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(50);
        int count = 0;
        try (ResultSet rows = statement.executeQuery("select * from jdb")) {
          while (rows.next()) count++;
        }
        check(count == 1000, "fetched in portions");
      }
      connection.commit();
    }
  }

  /** Names from the first use on, few of them kept, and batches: on more connections than servers. */
  static void preparedAtOnce() throws Exception {
    String options = "?prepareThreshold=1&preparedStatementCacheQueries=3";
    List<Connection> connections = new ArrayList<>();
    for (int n = 0; n < 6; n++) {
      connections.add(connect(options + (n % 2 == 0 ? "" : "&reWriteBatchedInserts=true")));
    }
    execute(connections.get(0), "create table jdo (a int primary key, b text)");
    for (int turn = 0; turn < 5; turn++) {
      for (int place = 0; place < connections.size(); place++) {
        Connection connection = connections.get(place);
        for (int text = 0; text < 5; text++) {
          try (PreparedStatement statement =
              connection.prepareStatement("select ?::int + " + text)) {
            statement.setInt(1, turn);
            try (ResultSet rows = statement.executeQuery()) {
              rows.next();
              check(rows.getInt(1) == turn + text, "prepared at once");
            }
          }
        }
        try (PreparedStatement insert =
            connection.prepareStatement("insert into jdo values (?, ?)")) {
          int first = (turn * connections.size() + place) * 100;
          for (int n = 0; n < 100; n++) {
            insert.setInt(1, first + n);
            insert.setString(2, n % 7 == 0 ? null : "value");
            insert.addBatch();
          }
          insert.executeBatch();
          insert.setInt(1, first);
          insert.setString(2, "again");
          insert.addBatch();
          insert.setInt(1, -1);
          insert.addBatch();
          fails("23505", insert::executeBatch);
        }
      }
    }
    check(number(connections.get(0), "select count(*) from jdo") == 3000, "rows of batches");
    for (Connection connection : connections) connection.close();
  }

  static void concurrency() throws Exception {
    try (Connection connection = connect()) {
      execute(connection, "create table jdn as select 0 as n");
      ExecutorService threads = Executors.newFixedThreadPool(10);
      List<Future<?>> futures = new ArrayList<>();
      for (int worker = 0; worker < 10; worker++) {
        futures.add(threads.submit(() -> {
          try (Connection mine = connect();
              PreparedStatement update = mine.prepareStatement("update jdn set n = n + ?")) {
            mine.setAutoCommit(false);
            for (int n = 0; n < 40; n++) {
              update.setInt(1, 1);
              update.executeUpdate();
              mine.commit();
            }
          }
          return null;
        }));
      }
      for (Future<?> future : futures) future.get();
      threads.shutdown();
      check(number(connection, "select n from jdn") == 400, "every update counted");
    }
  }

  static void cancel() throws Exception {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      Thread canceller = new Thread(() -> {
        try {
          Thread.sleep(500);
          statement.cancel();
        } catch (Exception error) {
          throw new AssertionError(error);
        }
      });
      canceller.start();
      fails("57014", () -> statement.execute("select pg_sleep(30)"));
      canceller.join();
      check(number(connection, "select 1") == 1, "usable after cancel");
      statement.setQueryTimeout(1);
      fails("57014", () -> statement.execute("select pg_sleep(30)"));
    }
  }

  static void test(String name, Work work) throws Exception {
    work.run();
    System.out.println("ok " + name);
  }

  public static void main(String[] arguments) throws Exception {
    test("transactions", Driver::transactions);
    test("errors", Driver::errors);
    test("copies", Driver::copies);
    test("large values", Driver::largeValues);
    test("prepared", Driver::prepared);
    test("prepared at once", Driver::preparedAtOnce);
    test("concurrency", Driver::concurrency);
    test("cancel", Driver::cancel);
  }
}
