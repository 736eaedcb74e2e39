#include "auth/users.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace doorman::auth {
namespace {

using namespace std::string_literals;

Users parsed(std::string_view text) {
  auto users = Users::parse(text, "users.txt");
  EXPECT_TRUE(users) << (users ? "" : users.error().message);
  return users ? users.take() : Users();
}

std::string refusal(std::string_view text) {
  auto users = Users::parse(text, "users.txt");
  EXPECT_FALSE(users) << text;
  if (users) return "";
  EXPECT_EQ(users.error().code, ErrorCode::Config);
  return users.error().message;
}

TEST(Users, ReadsNamesAndSecrets) {
  const Users users = parsed(
      "; people\n"
      "\"shop\" \"pencil\"\n"
      "\n"
      "  \t\"report\"\t\"md563c9aec143c760151c7b661829b79762\" and more \" of it\r\n"
      "\"quo\"\"ted\" \"a\"\"b;c\"\n"
      "\"locked\" \"\"");
  EXPECT_EQ(users.size(), 4u);
  EXPECT_EQ(users.names(), (std::vector<std::string_view>{"locked", "quo\"ted", "report", "shop"}));
  ASSERT_TRUE(users.find("shop"));
  EXPECT_EQ(users.find("shop")->text, "pencil");
  EXPECT_EQ(users.find("report")->kind, Secret::Kind::Md5);
  EXPECT_EQ(users.find("quo\"ted")->text, "a\"b;c");
  EXPECT_EQ(users.find("locked")->kind, Secret::Kind::None);
  EXPECT_EQ(users.find("SHOP"), nullptr);
}

TEST(Users, MayBeNone) {
  EXPECT_EQ(parsed("").size(), 0u);
  EXPECT_EQ(parsed("; nobody\n \n\r\n").size(), 0u);
}

TEST(Users, TakesTheLastLineOfAName) {
  const Users users = parsed("\"a\" \"1\"\n\"b\" \"2\"\n\"a\" \"3\"\n");
  EXPECT_EQ(users.size(), 2u);
  EXPECT_EQ(users.find("a")->text, "3");
}

TEST(Users, NamesFileAndLineOfAMistake) {
  EXPECT_EQ(refusal("\"a\" \"1\"\n; x\nb \"2\"\n"),
            "users.txt:3: expected a user name in double quotes");
  EXPECT_EQ(refusal("\"a"), "users.txt:1: expected a user name in double quotes");
  EXPECT_EQ(refusal("\"\" \"x\""), "users.txt:1: the user name is empty");
  EXPECT_EQ(refusal("\"a\"\n\"x\""),
            "users.txt:1: expected a password in double quotes after the user name");
  EXPECT_EQ(refusal("\"a\" \"x\"\"\n"),
            "users.txt:1: expected a password in double quotes after the user name");
  EXPECT_EQ(refusal("\"a\" \"x\0\"\n"s), "users.txt:1: a zero byte");
}

TEST(Users, NeverShowsAPasswordInAnError) {
  EXPECT_EQ(refusal("\"a\" \"pencil\n").find("pencil"), std::string::npos);
  EXPECT_EQ(refusal("\"a\" pencil\n").find("pencil"), std::string::npos);
}

TEST(Users, WhereverTheFileEndsNobodyElseAppears) {
  const std::string whole =
      "; people\n\"shop\" \"pencil\"\r\n\n  \"quo\"\"ted\" \"a\"\"b;c\" rest\n\"locked\"\t\"\"\n";
  const Users all = parsed(whole);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    auto users = Users::parse(cut, "users.txt");
    if (!users) {
      const auto line = 1 + std::count(cut.begin(), cut.end(), '\n');
      EXPECT_TRUE(users.error().message.starts_with("users.txt:" + std::to_string(line) + ": "))
          << size << ": " << users.error().message;
      continue;
    }
    for (const std::string_view name : users->names()) {
      ASSERT_NE(all.find(name), nullptr) << size;
      EXPECT_TRUE(all.find(name)->text.starts_with(users->find(name)->text)) << size;
    }
  }
}

TEST(Users, LimitsTheLengthOfAField) {
  const auto line = [](std::size_t name, std::size_t secret) {
    return '"' + std::string(name, 'n') + "\" \"" + std::string(secret, 's') + "\"\n";
  };
  EXPECT_EQ(parsed(line(kMaxUserName, kMaxSecret)).size(), 1u);
  EXPECT_EQ(refusal(line(kMaxUserName + 1, 1)),
            "users.txt:1: the user name is longer than 127 bytes");
  EXPECT_EQ(refusal(line(1, kMaxSecret + 1)),
            "users.txt:1: the password is longer than 65530 bytes");
}

TEST(Users, MovesFromOneListToAnother) {
  Users users = parsed("\"a\" \"1\"\n");
  users = parsed("\"b\" \"2\"\n");
  EXPECT_EQ(users.find("a"), nullptr);
  const Users moved = std::move(users);
  EXPECT_EQ(moved.find("b")->text, "2");
}

class UsersFile : public testing::Test {
 protected:
  UsersFile() {
    std::string pattern = testing::TempDir() + "usersXXXXXX";
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/users.txt";
  }
  ~UsersFile() override {
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }

  std::string folder_;
  std::string path_;
};

TEST_F(UsersFile, IsLoaded) {
  std::ofstream(path_) << "\"a\" \"1\"\n";
  auto users = Users::load(path_);
  ASSERT_TRUE(users) << users.error().message;
  EXPECT_EQ(users->find("a")->text, "1");
}

TEST_F(UsersFile, ThatIsWrongIsNamed) {
  std::ofstream(path_) << "a\n";
  auto users = Users::load(path_);
  ASSERT_FALSE(users);
  EXPECT_TRUE(users.error().message.starts_with(path_ + ":1: ")) << users.error().message;
}

TEST_F(UsersFile, ThatIsMissingIsNamed) {
  auto users = Users::load(path_);
  ASSERT_FALSE(users);
  EXPECT_EQ(users.error().code, ErrorCode::System);
  EXPECT_EQ(users.error().message, "reading " + path_ + ": No such file or directory");
}

TEST_F(UsersFile, IsNeitherAFolderNorAPipe) {
  auto folder = Users::load(folder_);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().message, folder_ + " is not a regular file");
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(Users::load(path_));
}

TEST_F(UsersFile, HasALimit) {
  std::ofstream(path_) << "";
  ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(kMaxUsersFile) + 1), 0);
  auto users = Users::load(path_);
  ASSERT_FALSE(users);
  EXPECT_EQ(users.error().code, ErrorCode::Limit);
}

}  // namespace
}  // namespace doorman::auth
