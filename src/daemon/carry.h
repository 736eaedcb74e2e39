// Carry: what a process is, as records and descriptors, and built again in its successor.
//
// Sessions go by lanes, one per worker of the old process: a memfd of records, and descriptors in
// the same order. docs/HANDOFF.md lists the fields.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/halt.h"
#include "daemon/worker.h"
#include "session/records.h"

namespace doorman::daemon {

// One worker's sessions, written down. They go on living in their worker.
struct Lane {
  struct Entry {
    std::uint64_t client = 0;  // 0: a server alone
    std::uint64_t server = 0;  // 0: none
  };
  std::string records;
  std::vector<int> fds;  // still the sessions'
  std::set<int> kept;    // those of them that the live vault has
  std::vector<Entry> entries;
  std::size_t left_behind = 0;  // those in the middle of a login
};

// At the end of a turn.
Lane save_sessions(Worker& worker);
// Of a process that has handed over: what can follow by now, each in a lane of its own.
std::vector<Lane> save_late(Worker& worker);
// At any time, for a rehearsal: those of `clients`, with their servers, and no descriptors.
void save_for_rehearsal(Worker& worker, const std::vector<std::uint64_t>& clients, Lane& lane);

// Takes what was saved out of its worker without a word to the peers, but for those whose number is
// in `refused`. What comes back is in the order of the entries; an empty image for those that stay.
std::vector<session::Image> let_go(Worker& worker, const Lane& lane,
                                   const std::set<std::uint64_t>& refused);

// An entry of a lane on the other side.
struct Piece {
  Lane::Entry entry;
  std::string_view client;  // the two records, in the lane's memory
  std::string_view server;
  // image.client_kept: the vault of the process that it comes from has the client's socket.
  session::Image image;                                   // the descriptors
  std::vector<std::pair<std::string, UniqueFd>> cancels;  // requests on their way

  session::Image take_image();  // with copies of the records
};

// `next_fd` gives the descriptors one by one; null: none are wanted. What comes back points into
// `records`.
Result<std::vector<Piece>> read_lane(std::string_view records, std::vector<UniqueFd>* fds,
                                     std::size_t& next_fd);

struct Built {
  std::size_t clients = 0;
  std::size_t servers = 0;
  std::set<std::uint64_t> refused;  // by the number of the client, or of the server alone
  std::string reason;               // of the first
};
Built build_sessions(Worker& worker, std::vector<Piece> pieces);
// All of a process, over its workers in turns: clients with their servers, and servers alone, so
// that no worker is left without idle ones. Until `halt` is destroyed none of them reads or writes.
Built build_sessions(Halt& halt, std::size_t workers, std::vector<Piece> pieces);
Built check_sessions(Worker& worker, std::vector<Piece> pieces);

// ---- The process as a whole.

struct ProcessRecord {
  struct Database {
    std::string name;
    bool paused = false;
    bool disabled = false;
  };
  struct PoolCounters {
    std::string database;
    std::string user;
    session::Counters counters;
  };
  std::uint64_t next_id = 1;
  std::uint64_t next_statement = 1;
  bool all_paused = false;
  std::vector<Database> databases;
  std::vector<PoolCounters> counters;
  std::vector<std::pair<std::string, std::string>> set;  // by SET on the console
  std::vector<std::string> unix_paths;
  std::string console;  // the console's own
  std::uint64_t listeners = 0;
  bool own_listeners = false;  // else they are the service manager's
  std::vector<std::string> verdicts;
  bool control_socket = false;
  std::uint64_t lanes = 0;
  std::uint64_t fds = 0;
  // Of the vault that has clients' sockets; the successor goes on with it.
  std::vector<std::string> vault;  // names of its descriptors, which come last
  std::uint64_t next_stash = 0;    // number that the successor's journal may have
};
std::string save(const ProcessRecord& process);
std::string save_counters(const session::Counters& counters);
Result<session::Counters> load_counters(std::string_view record);
Result<ProcessRecord> load_process(std::string_view record);

}  // namespace doorman::daemon
