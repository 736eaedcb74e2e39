// A doubly linked list of objects that carry their own links: nothing is allocated, and an object
// leaves its list in constant time and when it dies.
//
// An object can be in several lists by deriving from ListNode with different tags. The list does
// not own its objects.
#pragma once

#include <cstddef>

#include "base/check.h"

namespace doorman {

template <class Tag = void>
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
    --*count_;
  }

 private:
  template <class T, class U>
  friend class IntrusiveList;
  void link_before(ListNode& other, std::size_t& count) {
    CHECK(!linked());
    previous_ = other.previous_;
    next_ = &other;
    previous_->next_ = this;
    other.previous_ = this;
    count_ = &count;
    ++count;
  }

  ListNode* previous_ = nullptr;
  ListNode* next_ = nullptr;
  std::size_t* count_ = nullptr;
};

template <class T, class Tag = void>
class IntrusiveList {
 public:
  using Node = ListNode<Tag>;

  IntrusiveList() { head_.previous_ = head_.next_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) head_.next_->unlink();
    head_.previous_ = head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  std::size_t size() const { return size_; }
  T& front() { return object(*head_.next_); }
  T& back() { return object(*head_.previous_); }
  void push_back(T& item) { static_cast<Node&>(item).link_before(head_, size_); }
  void push_front(T& item) { static_cast<Node&>(item).link_before(*head_.next_, size_); }

  void insert_before(T& place, T& item) {
    static_cast<Node&>(item).link_before(static_cast<Node&>(place), size_);
  }

  // The item behind `item`, or null at the end.
  T* after(T& item) {
    Node* next = static_cast<Node&>(item).next_;
    return next == &head_ ? nullptr : &object(*next);
  }
  T* first() { return empty() ? nullptr : &front(); }

  // Calls `visit` with each item; the visited item may leave the list meanwhile.
  template <class Visit>
  void each(Visit visit) {
    for (Node* node = head_.next_; node != &head_;) {
      Node* next = node->next_;
      visit(object(*node));
      node = next;
    }
  }

 private:
  static T& object(Node& node) { return static_cast<T&>(node); }

  Node head_;
  std::size_t size_ = 0;
};

}  // namespace doorman
