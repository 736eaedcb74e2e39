#include "handoff/recovery.h"

#include <gtest/gtest.h>

#include "session/client_state.h"
#include "session/server_state.h"

namespace doorman::handoff {
namespace {

using session::ClientState;
using session::HotSlot;
using session::HotSlots;
namespace pending = session::pending;

class FateTest : public testing::Test {
 protected:
  Fate fate(ClientState state, std::uint8_t left = 0) {
    client_.state = static_cast<std::uint8_t>(state);
    client_.pending = left;
    return fate_of(client_, &server_);
  }

  HotSlots slots_;
  HotSlot& client_ = slots_.take(1, false);
  HotSlot& server_ = slots_.take(2, true);
};

TEST_F(FateTest, IdleClientsGoOn) {
  EXPECT_EQ(fate(ClientState::Idle), Fate::GoesOn);
  EXPECT_EQ(fate_of(client_, nullptr), Fate::GoesOn);
  EXPECT_EQ(fate(ClientState::Idle, pending::kInput), Fate::ToldLost);
  EXPECT_EQ(fate(ClientState::Idle, pending::kListens), Fate::GoesOn);
}

TEST_F(FateTest, WhatWasNotSentCannotBeCommitted) {
  EXPECT_EQ(fate(ClientState::Waiting, pending::kInput), Fate::ToldLost);
  EXPECT_EQ(fate(ClientState::Preparing, pending::kInput), Fate::ToldLost);
  EXPECT_EQ(fate(ClientState::Active), Fate::ToldLost);
}

TEST_F(FateTest, WhoseLISTENTakesEffectHasCommitted) {
  EXPECT_EQ(fate(ClientState::Preparing, pending::kCommitted), Fate::ToldUnknown);
  EXPECT_EQ(fate(ClientState::Preparing, pending::kCommitted | pending::kQuery), Fate::ToldUnknown);
}

TEST_F(FateTest, WhatWasSentMayBeCommitted) {
  EXPECT_EQ(fate(ClientState::Active, pending::kQuery), Fate::ToldUnknown);
  EXPECT_EQ(fate(ClientState::Active, pending::kQuery | pending::kInput), Fate::ToldUnknown);
}

TEST_F(FateTest, NobodyIsToldInTheMiddleOfAMessage) {
  for (const ClientState each : {ClientState::Idle, ClientState::Waiting, ClientState::Active}) {
    EXPECT_EQ(fate(each, pending::kOutput | pending::kQuery), Fate::Closed);
  }
  client_.in_doubt = 1;
  EXPECT_EQ(fate(ClientState::Idle), Fate::Closed);
  client_.in_doubt = 0;
  server_.in_doubt = 1;  // it may have been sending to the client
  EXPECT_EQ(fate(ClientState::Active), Fate::Closed);
  EXPECT_EQ(fate_of(client_, nullptr), Fate::ToldLost);
}

TEST_F(FateTest, StatesThatCannotBe) {
  for (const ClientState each : {ClientState::Startup, ClientState::Authenticating,
                                 ClientState::Console, ClientState::Closing}) {
    EXPECT_EQ(fate(each), Fate::Closed);
  }
  client_.state = 200;
  EXPECT_EQ(fate_of(client_, nullptr), Fate::Closed);
}

}  // namespace
}  // namespace doorman::handoff
