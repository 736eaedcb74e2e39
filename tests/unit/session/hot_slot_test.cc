#include "session/hot_slot.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace doorman::session {
namespace {

TEST(HotSlots, EverySessionHasItsOwn) {
  HotSlots slots;
  std::vector<HotSlot*> all;
  for (std::uint64_t id = 1; id <= 300; ++id) all.push_back(&slots.take(id, id % 2 == 0));
  EXPECT_EQ(slots.used(), 300U);
  EXPECT_EQ(std::set<HotSlot*>(all.begin(), all.end()).size(), 300U);
  for (std::size_t i = 0; i < all.size(); ++i) {  // where they are stays, however many come
    EXPECT_EQ(all[i]->session_id, i + 1);
    EXPECT_EQ(all[i]->is_server, (i + 1) % 2 == 0 ? 1 : 0);
  }
  for (HotSlot* each : all) slots.give_back(*each);
  EXPECT_EQ(slots.used(), 0U);
}

TEST(HotSlots, ASlotThatComesBackSaysNothingOfItsLastOwner) {
  HotSlots slots;
  HotSlot& slot = slots.take(7, true);
  slot.peer_id = 8;
  slot.state = 3;
  slot.in_doubt = 1;
  slot.transaction = 'T';
  slots.give_back(slot);
  EXPECT_EQ(slot.session_id, 0U);
  HotSlot& again = slots.take(9, false);
  EXPECT_EQ(&again, &slot);
  EXPECT_EQ(again.session_id, 9U);
  EXPECT_EQ(again.peer_id, 0U);
  EXPECT_EQ(again.state, 0);
  EXPECT_EQ(again.in_doubt, 0);
  EXPECT_EQ(again.transaction, 0);
  EXPECT_EQ(again.is_server, 0);
}

TEST(InDoubt, HoldsForItsScope) {
  HotSlots slots;
  HotSlot& slot = slots.take(1, false);
  EXPECT_EQ(slot.in_doubt, 0);
  {
    const InDoubt doubt(slot);
    EXPECT_EQ(slot.in_doubt, 1);
  }
  EXPECT_EQ(slot.in_doubt, 0);
  slots.give_back(slot);
}

}  // namespace
}  // namespace doorman::session
