// The tables of states: which may follow which, as the pictures above them say.
#include <gtest/gtest.h>

#include <string>

#include "session/client_state.h"
#include "session/server_state.h"

namespace doorman::session {
namespace {

// What may follow `from`, a letter for each state in their order.
template <class State>
std::string followers(State from, const std::string& letters) {
  std::string all;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    if (may_follow(from, static_cast<State>(i))) all.push_back(letters[i]);
  }
  return all;
}

TEST(ClientStates, FollowEachOtherAsDrawn) {
  const std::string letters = "SAIWPVCX";  // V: Active, X: Closing
  using enum ClientState;
  EXPECT_EQ(followers(Startup, letters), "AX");
  EXPECT_EQ(followers(Authenticating, letters), "IWCX");
  EXPECT_EQ(followers(Idle, letters), "WPVX");
  EXPECT_EQ(followers(Waiting, letters), "IPVX");
  EXPECT_EQ(followers(Preparing, letters), "IVX");
  EXPECT_EQ(followers(Active, letters), "IPX");
  EXPECT_EQ(followers(Console, letters), "X");
  EXPECT_EQ(followers(Closing, letters), "");
}

TEST(ClientStates, OnlyTwoHoldAServer) {
  for (int i = 0; i < 8; ++i) {
    const auto state = static_cast<ClientState>(i);
    EXPECT_EQ(has_server(state), state == ClientState::Preparing || state == ClientState::Active);
    EXPECT_FALSE(name_of(state).empty());
  }
}

TEST(ServerStates, FollowEachOtherAsDrawn) {
  const std::string letters = "RCLIAKNXE";  // K: Cleaning, N: Cancelling, X: Closing, E: Listening
  using enum ServerState;
  EXPECT_EQ(followers(Resolving, letters), "CX");
  EXPECT_EQ(followers(Connecting, letters), "RCLX");
  EXPECT_EQ(followers(LoggingIn, letters), "RCIKX");
  EXPECT_EQ(followers(Idle, letters), "AKXE");
  EXPECT_EQ(followers(Active, letters), "IKNXE");
  EXPECT_EQ(followers(Listening, letters), "IKX");
  EXPECT_EQ(followers(Cleaning, letters), "INX");
  EXPECT_EQ(followers(Cancelling, letters), "IX");
  EXPECT_EQ(followers(Closing, letters), "");
}

TEST(ServerStates, HaveNames) {
  for (int i = 0; i < 8; ++i) {
    const auto state = static_cast<ServerState>(i);
    EXPECT_FALSE(name_of(state).empty());
    EXPECT_EQ(logged_in(state), i >= 3 && i <= 6);
  }
}

}  // namespace
}  // namespace doorman::session
