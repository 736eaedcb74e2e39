#include "auth/users.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "base/secret.h"
#include "base/unique_fd.h"

namespace doorman::auth {

namespace {

constexpr std::string_view kBlanks = " \t\r\v\f";

void skip_blanks(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
}

// Takes a "field" off the front of `line`. nullopt: there is none, or it has no end.
std::optional<std::string> take_quoted(std::string_view& line) {
  if (!line.starts_with('"')) return std::nullopt;
  std::string field;
  field.reserve(line.size());  // growing would leave copies of a secret
  for (std::size_t i = 1; i < line.size(); ++i) {
    if (line[i] == '"') {
      if (i + 1 == line.size() || line[i + 1] != '"') {
        line.remove_prefix(i + 1);
        return field;
      }
      ++i;
    }
    field += line[i];
  }
  wipe(field);
  return std::nullopt;
}

struct Entry {
  std::string name;
  std::string secret;
};

// The reason why `line` is none, without a word of what might be a password.
Result<Entry> parse_line(std::string_view line) {
  const auto wrong = [](std::string_view why) {
    return Error{ErrorCode::Config, std::string(why)};
  };
  auto name = take_quoted(line);
  if (!name) return wrong("expected a user name in double quotes");
  if (name->empty()) return wrong("the user name is empty");
  if (name->size() > kMaxUserName)
    return wrong(fmt::format("the user name is longer than {} bytes", kMaxUserName));

  skip_blanks(line);
  auto secret = take_quoted(line);
  if (!secret) return wrong("expected a password in double quotes after the user name");
  if (secret->size() > kMaxSecret) {
    wipe(*secret);
    return wrong(fmt::format("the password is longer than {} bytes", kMaxSecret));
  }
  return Entry{std::move(*name), std::move(*secret)};
}

Error system_error(const std::string& path) {
  return {ErrorCode::System,
          fmt::format("reading {}: {}", path, std::generic_category().message(errno))};
}

Result<> read_all(int fd, const std::string& path, std::string& text) {
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(fd, text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_error(path);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return {};
}

}  // namespace

Result<Users> Users::parse(std::string_view text, std::string_view file_name) {
  Users users;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));

    const auto wrong = [&](std::string_view why) {
      return Error{ErrorCode::Config, fmt::format("{}:{}: {}", file_name, number, why)};
    };
    if (line.find('\0') != std::string_view::npos) return wrong("a zero byte");
    skip_blanks(line);
    if (line.empty() || line.starts_with(';')) continue;

    auto entry = parse_line(line);
    if (!entry) return wrong(entry.error().message);
    users.set(std::move(entry->name), classify(std::move(entry->secret)));
  }
  return users;
}

Result<Users> Users::load(const std::string& path) {
  // O_NONBLOCK: a pipe in the file's place must not hang the daemon; it is refused below.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return system_error(path);
  struct stat status = {};
  if (::fstat(fd.get(), &status) != 0) return system_error(path);
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::Config, path + " is not a regular file"};
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > kMaxUsersFile)
    return Error{ErrorCode::Limit, fmt::format("{} is larger than {} bytes", path, kMaxUsersFile)};

  std::string text(size, '\0');
  const WipeAtEnd wiped(text);
  TRY(read_all(fd.get(), path, text));
  return parse(text, path);
}

Users& Users::operator=(Users&& other) noexcept {
  if (this != &other) {
    clear();
    secrets_ = std::move(other.secrets_);
  }
  return *this;
}

const Secret* Users::find(std::string_view name) const {
  const auto found = secrets_.find(name);
  return found == secrets_.end() ? nullptr : &found->second;
}

std::vector<std::string_view> Users::names() const {
  std::vector<std::string_view> names;
  names.reserve(secrets_.size());
  for (const auto& [name, secret] : secrets_) names.emplace_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

void Users::set(std::string name, Secret secret) {
  Secret& place = secrets_[std::move(name)];
  wipe(place.text);
  place = std::move(secret);
}

void Users::clear() {
  for (auto& [name, secret] : secrets_) wipe(secret.text);
  secrets_.clear();
}

}  // namespace doorman::auth
