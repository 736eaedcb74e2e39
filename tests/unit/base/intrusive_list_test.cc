#include "base/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace doorman {
namespace {

struct First {};
struct Second {};

struct Item : ListNode<First>, ListNode<Second> {
  explicit Item(char n) : name(n) {}
  char name;
};

template <class List>
std::string names(List& list) {
  std::string all;
  list.each([&](Item& item) { all.push_back(item.name); });
  return all;
}

TEST(IntrusiveList, KeepsTheOrder) {
  Item a('a'), b('b'), c('c'), d('d');
  IntrusiveList<Item, First> list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.first(), nullptr);
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  list.push_back(d);
  EXPECT_EQ(names(list), "abcd");
  EXPECT_EQ(list.size(), 4U);
  EXPECT_EQ(&list.front(), &a);
  EXPECT_EQ(&list.back(), &d);
  EXPECT_EQ(list.after(b), &c);
  EXPECT_EQ(list.after(d), nullptr);
}

TEST(IntrusiveList, AnItemLeavesFromAnywhere) {
  for (const std::size_t leaves : {0U, 1U, 2U}) {
    Item items[] = {Item('a'), Item('b'), Item('c')};
    IntrusiveList<Item, First> list;
    for (Item& each : items) list.push_back(each);
    static_cast<ListNode<First>&>(items[leaves]).unlink();
    EXPECT_EQ(names(list), std::string("abc").erase(leaves, 1));
    EXPECT_EQ(list.size(), 2U);
    static_cast<ListNode<First>&>(items[leaves]).unlink();  // once more does nothing
    EXPECT_EQ(list.size(), 2U);
    list.push_back(items[leaves]);
    EXPECT_EQ(list.size(), 3U);
  }
}

TEST(IntrusiveList, AnItemCanBeInTwoLists) {
  Item a('a'), b('b');
  IntrusiveList<Item, First> one;
  IntrusiveList<Item, Second> two;
  one.push_back(a);
  one.push_back(b);
  two.push_back(b);
  two.push_back(a);
  static_cast<ListNode<First>&>(a).unlink();
  EXPECT_EQ(names(one), "b");
  EXPECT_EQ(names(two), "ba");
}

TEST(IntrusiveList, AnItemThatDiesIsGone) {
  IntrusiveList<Item, First> list;
  Item a('a'), c('c');
  list.push_back(a);
  {
    Item b('b');
    list.push_back(b);
    list.push_back(c);
  }
  EXPECT_EQ(names(list), "ac");
  EXPECT_EQ(list.size(), 2U);
}

TEST(IntrusiveList, AListThatDiesLetsGoOfItsItems) {
  Item a('a');
  {
    IntrusiveList<Item, First> list;
    list.push_back(a);
  }
  EXPECT_FALSE(static_cast<ListNode<First>&>(a).linked());
}

TEST(IntrusiveList, TheVisitedItemMayLeaveOrDie) {
  std::unique_ptr<Item> items[] = {std::make_unique<Item>('a'), std::make_unique<Item>('b'),
                                   std::make_unique<Item>('c')};
  IntrusiveList<Item, First> list;
  for (auto& each : items) list.push_back(*each);
  std::string seen;
  list.each([&](Item& item) {
    seen.push_back(item.name);
    for (auto& each : items) {
      if (each.get() == &item) {
        each.reset();
        return;
      }
    }
  });
  EXPECT_EQ(seen, "abc");
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace doorman
