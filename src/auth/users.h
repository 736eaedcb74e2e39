// auth_file (userlist.txt): the users that can log in, and their secrets.
//
//   "name" "secret" anything      ; a comment
//
// One user a line; a double quote inside a field is written twice; what follows the second field is
// ignored. The last line of a name wins. Any other line is an error that names file and line: a
// list of users that was read only in part would lock out the rest.
//
// Never changes once read, so threads may share it. Its secrets are wiped with it.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/secret.h"
#include "base/result.h"

namespace doorman::auth {

inline constexpr std::size_t kMaxUserName = 127;
inline constexpr std::size_t kMaxSecret = 65'530;         // what fits a message with a password
inline constexpr std::size_t kMaxUsersFile = 256u << 20;  // bytes; some millions of users

class Users {
 public:
  static Result<Users> parse(std::string_view text, std::string_view file_name);
  static Result<Users> load(const std::string& path);

  Users() = default;
  Users(Users&&) noexcept = default;
  Users& operator=(Users&& other) noexcept;
  Users(const Users&) = delete;  // copies of secrets are made on purpose or not at all
  Users& operator=(const Users&) = delete;
  ~Users() { clear(); }

  // nullptr: no such user. Valid as long as this list.
  const Secret* find(std::string_view name) const;
  std::size_t size() const { return secrets_.size(); }

  // All names, sorted.
  std::vector<std::string_view> names() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view name) const {
      return std::hash<std::string_view>()(name);
    }
  };

  void set(std::string name, Secret secret);
  void clear();

  std::unordered_map<std::string, Secret, Hash, std::equal_to<>> secrets_;
};

}  // namespace doorman::auth
