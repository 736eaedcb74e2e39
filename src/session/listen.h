// LISTEN in transaction mode: who is subscribed to what, and how a notification finds its client.
//
// A hub is what the clients of a pool listen through that have the same client_encoding. Its ear is
// a server connection of the pool that does nothing else; the hub has one while anybody listens.
// What the ear hears goes into the queues of those who are subscribed, and they are woken on their
// workers.
//
// Where a subscription begins is marked in the server's own stream of notifications, which is the
// same for all connections to a database: the ear notifies a channel that only the pooler knows.
// What comes before the mark, the client gets from the server on which it said LISTEN; what comes
// after it, from the hub. So nothing is lost, and nothing comes twice.
//
// Any thread. Nothing here is touched by queries, only by LISTEN, NOTIFY and their like.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "pool/pool.h"
#include "pool/shared_pool.h"

namespace doorman::session {

class Host;
class ListenHub;
class PoolPart;

// A whole NotificationResponse. Null stands for a gap: others may have been lost there.
using NotificationRef = std::shared_ptr<const std::string>;
using Channels = std::set<std::string, std::less<>>;

// One client's place in a hub. Its members are the hub's, under the hub's lock.
struct Subscriber {
  explicit Subscriber(ListenHub& h) : hub(h) {}
  ListenHub& hub;

  Host* host = nullptr;  // where it lives; null: between two workers
  std::uint64_t client = 0;
  Channels channels;
  std::vector<std::string> joining;    // channels that become its own at the mark it awaits
  std::uint64_t awaits = 0;            // the mark's number; 0: none
  std::uint64_t mark = 0;              // the last one; read by its own thread
  bool lost = false;                   // the ear is gone, and the mark with it
  bool missed = false;                 // the ear is gone: it may have missed something
  bool woken = false;                  // a task is on its way to it
  std::atomic<bool> has_news = false;  // for any thread: the queue is not empty
  std::deque<NotificationRef> queue;
  std::size_t queued_bytes = 0;
  std::size_t most_bytes = 0;
};
using SubscriberRef = std::shared_ptr<Subscriber>;

enum class Joined { AsEar, Awaits, NoRoom };
enum class Mark { Pending, Reached, Lost };

class ListenHub {
 public:
  ListenHub(class ListenHubs& hubs, pool::SharedPool& pool, std::string encoding,
            std::string mark_channel);

  static constexpr std::string_view kMarkChannels = "pg_doorman mark ";  // how their names begin

  pool::SharedPool& pool;
  const std::string encoding;
  const std::string mark_channel;

  // For clients.
  SubscriberRef enter(Host& host, std::uint64_t client, std::size_t most_bytes);
  // Subscribes to `channels`, which are not the subscriber's yet and which the server `server` of
  // `host` listens to, as it does to mark_channel. AsEar: there was no ear, and that server is it
  // from now on.
  Joined join(Subscriber& subscriber, const std::vector<std::string>& channels, Host& host,
              std::uint64_t server, std::uint32_t pid, const pool::ServerLimits& limits);
  // Another mark, so that what was notified before has been queued. False: nobody would set it.
  bool set_mark(Subscriber& subscriber);
  Mark mark(Subscriber& subscriber);
  // Subscribes again, from a record: there is a gap before what comes.
  void rejoin(Subscriber& subscriber, const Channels& channels);
  void unlisten(Subscriber& subscriber, const Channels& channels);
  void leave(Subscriber& subscriber);
  void moved(Subscriber& subscriber, Host* host);
  void is_awake(Subscriber& subscriber);
  // Takes what is queued, up to about `most` bytes.
  std::vector<NotificationRef> take(Subscriber& subscriber, std::size_t most);
  std::vector<NotificationRef> queued(const Subscriber& subscriber) const;
  void queue(Subscriber& subscriber, const NotificationRef& notification);
  std::uint32_t pid() const { return pid_.load(std::memory_order_relaxed); }  // of the ear

  // For the ear, on its thread.
  struct Order {
    std::string sql;
    bool let_go = false;  // nobody listens: it is an ordinary server again
  };
  Order next_order(std::uint64_t server, bool quiet);
  void heard(std::string_view channel, std::string_view payload, std::string_view message);
  void answered();  // nothing is owed by the ear
  void lost(std::uint64_t server);

  // For the search of a new ear.
  bool seeks() const { return seeks_.load(std::memory_order_relaxed); }
  bool has_ear() const { return has_ear_.load(std::memory_order_relaxed); }
  void seek(PoolPart& part);
  bool found(Host& host, std::uint64_t server, std::uint32_t pid);

 private:
  struct Place {
    Subscriber* subscriber;
    bool open;  // false: its mark has not come yet
  };
  struct Channel {
    std::vector<Place> places;
    bool heard = false;  // the ear listens to it, or has been told to
  };
  struct Seeker final : pool::Waiter {
    explicit Seeker(ListenHub& h) : hub(h) {}
    void served(pool::Server& server) override;
    void refused(const std::string& error_message) override;
    void waited_too_long() override;
    ListenHub& hub;
    PoolPart* part = nullptr;
    std::atomic<bool> waits = false;
  };

  void add_locked(Subscriber& subscriber, const std::string& channel, bool open);
  void remove_locked(Subscriber& subscriber, const std::string& channel);
  void forget_queued_locked(Subscriber& subscriber, const Channels& channels);
  void stop_joining_locked(Subscriber& subscriber);
  void await_mark_locked(Subscriber& subscriber);
  void queue_locked(Subscriber& subscriber, const NotificationRef& notification);
  void wake_locked(Subscriber& subscriber);
  void tell_ear_locked();
  void become_ear_locked(Host& host, std::uint64_t server, std::uint32_t pid);
  void seek_if_needed_locked();

  ListenHubs& hubs_;
  Seeker seeker_{*this};
  std::atomic<bool> seeks_ = false;
  std::atomic<bool> has_ear_ = false;
  std::atomic<std::uint32_t> pid_ = 0;

  mutable std::mutex mutex_;  // guards the rest
  std::unordered_map<Subscriber*, SubscriberRef> subscribers_;
  std::unordered_map<std::string, Channel> channels_;
  std::vector<std::string> changed_;  // channels that the ear may have to learn of
  std::vector<std::uint64_t> unset_marks_;
  std::uint64_t last_mark_ = 0;
  Instant fruitless_at_{};  // when an ear was lost that had never answered; zero: the last one had
  Host* ear_host_ = nullptr;
  std::uint64_t ear_ = 0;             // the server's number
  bool ear_told_ = false;             // a task is on its way to it
  bool ear_is_new_ = false;           // it does not listen to mark_channel yet
  bool catching_up_ = false;          // somebody missed something
  std::vector<Subscriber*> to_tell_;  // of a gap, when the ear has answered its last order
};

// The hubs of the process. Each lives as long as its pool.
class ListenHubs {
 public:
  ListenHubs();

  ListenHub& hub(pool::SharedPool& pool, std::string_view encoding);
  // Once per tick of a worker, for each of its parts.
  void tick(PoolPart& part);
  void forget(const pool::SharedPool& pool);
  std::size_t size() const;

 private:
  friend class ListenHub;
  // False: with one ear more, one of the limits would leave no server for queries.
  bool room_for_ear(const pool::SharedPool& pool, const pool::ServerLimits& limits);

  const std::string name_;  // tells this process' mark channels from others'
  std::atomic<int> seeking_ = 0;
  mutable std::mutex mutex_;
  std::uint64_t next_ = 0;  // part of a mark channel's name
  std::map<std::pair<const pool::SharedPool*, std::string>, std::unique_ptr<ListenHub>> hubs_;
};

}  // namespace doorman::session
