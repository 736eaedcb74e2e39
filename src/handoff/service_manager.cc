#include "handoff/service_manager.h"

#include <systemd/sd-bus.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace doorman::handoff {

namespace {

constexpr const char* kManager = "org.freedesktop.systemd1";

struct CloseBus {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct FreeReply {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, CloseBus>;
using Reply = std::unique_ptr<sd_bus_message, FreeReply>;

// The unit's path on the bus; empty: none, or no answer.
std::string own_unit(sd_bus* bus) {
  sd_bus_message* answer = nullptr;
  sd_bus_error error{};
  const int called = sd_bus_call_method(bus, kManager, "/org/freedesktop/systemd1",
                                        "org.freedesktop.systemd1.Manager", "GetUnitByPID", &error,
                                        &answer, "u", static_cast<std::uint32_t>(::getpid()));
  sd_bus_error_free(&error);
  const Reply reply(answer);
  const char* path = nullptr;
  if (called < 0 || sd_bus_message_read(answer, "o", &path) < 0) return {};
  return path;
}

struct JobRef {
  std::uint32_t number = 0;  // 0: no job
  std::string path;
};

std::optional<JobRef> job_of(sd_bus* bus, const std::string& unit) {
  sd_bus_message* answer = nullptr;
  sd_bus_error error{};
  const int asked = sd_bus_get_property(
      bus, kManager, unit.c_str(), "org.freedesktop.systemd1.Unit", "Job", &error, &answer, "(uo)");
  sd_bus_error_free(&error);
  const Reply reply(answer);
  JobRef job;
  const char* path = nullptr;
  if (asked < 0 || sd_bus_message_read(answer, "(uo)", &job.number, &path) < 0) return {};
  job.path = path;
  return job;
}

std::string job_type(sd_bus* bus, const std::string& job) {
  char* type = nullptr;
  sd_bus_error error{};
  const int asked = sd_bus_get_property_string(
      bus, kManager, job.c_str(), "org.freedesktop.systemd1.Job", "JobType", &error, &type);
  sd_bus_error_free(&error);
  if (asked < 0) return {};
  std::string text = type;
  std::free(type);  // NOLINT(cppcoreguidelines-no-malloc): libsystemd's
  return text;
}

// A signal would end a question without an answer.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_{};
};

Bus open_bus(Duration limit) {
  sd_bus* opened = nullptr;
  if (sd_bus_open_system(&opened) < 0) return {};
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(limit) / 3;
  sd_bus_set_method_call_timeout(opened, static_cast<std::uint64_t>(us.count()));
  return Bus(opened);
}

}  // namespace

std::optional<bool> is_main_process(Duration limit) {
  const NoSignals meanwhile;
  const Bus bus = open_bus(limit);
  const std::string unit = bus ? own_unit(bus.get()) : "";
  if (unit.empty()) return std::nullopt;
  std::uint32_t pid = 0;
  sd_bus_error error{};
  const int asked =
      sd_bus_get_property_trivial(bus.get(), kManager, unit.c_str(),
                                  "org.freedesktop.systemd1.Service", "MainPID", &error, 'u', &pid);
  sd_bus_error_free(&error);
  if (asked < 0) return std::nullopt;
  return pid == static_cast<std::uint32_t>(::getpid());
}

Job current_job(Duration limit) {
  const NoSignals meanwhile;
  const Bus bus = open_bus(limit);
  const std::string unit = bus ? own_unit(bus.get()) : "";
  if (unit.empty()) return Job::Unknown;
  const std::optional<JobRef> job = job_of(bus.get(), unit);
  if (!job) return Job::Unknown;
  if (job->number == 0) return Job::None;
  const std::string type = job_type(bus.get(), job->path);
  if (type == "restart" || type == "try-restart") return Job::Restart;
  return type == "stop" ? Job::Stop : Job::Unknown;
}

}  // namespace doorman::handoff
