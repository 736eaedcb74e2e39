import java.io.File;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** pgjdbc, busy until the file $BUSY_STOP exists; see tests/systemd/test_drivers.py. */
public class Busy {
  static final AtomicInteger turns = new AtomicInteger();
  static final AtomicInteger errors = new AtomicInteger();
  static final File stop = new File(System.getenv("BUSY_STOP"));

  static void ask(PreparedStatement statement, int value) throws SQLException {
    statement.setInt(1, value);
    try (ResultSet rows = statement.executeQuery()) {
      rows.next();
      Driver.check(rows.getInt(1) == value + 1, "the answer");
    }
  }

  static void idle(CountDownLatch ready, CountDownLatch over) throws Exception {
    try (Connection connection = Driver.connect();
        PreparedStatement statement = connection.prepareStatement("select ?::int + 1")) {
      for (int n = 0; n < 8; n++) ask(statement, n); // from the sixth on it has a name
      ready.countDown();
      over.await();
      ask(statement, 9);
    }
  }

  static void busy() throws Exception {
    Connection connection = null;
    while (!stop.exists()) {
      try {
        if (connection == null) {
          connection = Driver.connect();
          connection.setAutoCommit(false);
        }
        try (PreparedStatement add = connection.prepareStatement("insert into busy values (?)")) {
          add.setString(1, "pgjdbc");
          add.executeUpdate();
        }
        Driver.check(Driver.number(connection, "select 42") == 42, "the answer");
        connection.commit();
        turns.incrementAndGet();
      } catch (SQLException error) {
        System.out.println("error: " + error);
        errors.incrementAndGet();
        try {
          if (connection != null) connection.close();
        } catch (SQLException again) {
          // it is gone already
        }
        connection = null;
      }
    }
    if (connection != null) connection.close();
  }

  static Thread start(Driver.Work work) {
    Thread thread = new Thread(() -> {
      try {
        work.run();
      } catch (Throwable error) {
        error.printStackTrace();
        System.exit(1);
      }
    });
    thread.start();
    return thread;
  }

  public static void main(String[] arguments) throws Exception {
    CountDownLatch ready = new CountDownLatch(2);
    CountDownLatch over = new CountDownLatch(1);
    Thread[] idlers = {start(() -> idle(ready, over)), start(() -> idle(ready, over))};
    ready.await();
    Thread[] workers = new Thread[4];
    for (int n = 0; n < workers.length; n++) workers[n] = start(Busy::busy);
    for (Thread worker : workers) worker.join();
    over.countDown();
    for (Thread idler : idlers) idler.join();
    System.out.println("turns=" + turns + " errors=" + errors);
  }
}
