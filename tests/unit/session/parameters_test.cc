#include "session/parameters.h"

#include <gtest/gtest.h>

#include <string>

#include "wire/message_writer.h"

namespace doorman::session {
namespace {

ParameterSet set_of(const std::vector<Parameter>& all) {
  ParameterSet set;
  for (const Parameter& each : all) set.set(each.name, each.value);
  return set;
}

std::string names(const ParameterSet& set) {
  std::string all;
  for (const Parameter& each : set.all()) all += each.name + " ";
  return all;
}

TEST(ParameterSet, IsSortedWhateverTheOrderAndTheCase) {
  const ParameterSet set = set_of({{"TimeZone", "UTC"},
                                   {"application_name", "x"},
                                   {"Zeta", "1"},
                                   {"DateStyle", "ISO"},
                                   {"a", "2"}});
  EXPECT_EQ(names(set), "a application_name DateStyle TimeZone Zeta ");
}

TEST(ParameterSet, FindsSetsAndErasesWithoutRegardToCase) {
  ParameterSet set;
  set.set("TimeZone", "UTC");
  set.set("timezone", "GMT");
  EXPECT_EQ(set.all().size(), 1U);
  ASSERT_NE(set.find("TIMEZONE"), nullptr);
  EXPECT_EQ(*set.find("TIMEZONE"), "GMT");
  EXPECT_EQ(set.all()[0].name, "TimeZone") << "spelled as it came first";
  EXPECT_EQ(set.find("TimeZon"), nullptr);
  EXPECT_EQ(set.find(""), nullptr);
  set.erase("timeZone");
  set.erase("timeZone");
  EXPECT_TRUE(set.all().empty());
}

TEST(ParameterSet, KeysTellSetsApart) {
  const ParameterSet set = set_of({{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(set.key(), set_of({{"B", "2"}, {"A", "1"}}).key());
  EXPECT_NE(set.key(), set_of({{"a", "2"}, {"b", "1"}}).key());
  EXPECT_NE(set.key(), set_of({{"a", "1"}}).key());
  EXPECT_NE(set.key(), set_of({{"a", "1b2"}}).key());
  EXPECT_NE(set_of({{"a", "x"}}).key(), set_of({{"a", "X"}}).key()) << "values have case";
}

// "name=value" of each change, "name!" for back to the default.
std::string changes(const ParameterSet& has, const ParameterSet& wants) {
  std::string all;
  for (const Change& each : difference(has, wants)) {
    all += each.name + (each.value ? "=" + *each.value : "!") + " ";
  }
  return all;
}

TEST(ParameterDifference, IsWhatHasToChange) {
  const ParameterSet has = set_of({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  EXPECT_EQ(changes(has, has), "");
  EXPECT_EQ(changes(has, set_of({{"A", "1"}, {"b", "9"}, {"d", "4"}})), "b=9 d=4 c! ");
  EXPECT_EQ(changes({}, has), "a=1 b=2 c=3 ");
  EXPECT_EQ(changes(has, {}), "a! b! c! ");
}

// DateStyle = 'SQL' keeps whatever order of day and month the last client chose.
TEST(ParameterDifference, ADateStyleWithoutAnOrderBeginsAtTheDefault) {
  const ParameterSet has = set_of({{"DateStyle", "German, DMY"}});
  EXPECT_EQ(changes(has, set_of({{"DateStyle", "SQL"}})), "DateStyle! DateStyle=SQL ");
  EXPECT_EQ(changes(has, set_of({{"DateStyle", "SQL, MDY"}})), "DateStyle=SQL, MDY ");
}

TEST(ParameterMessages, CarryValuesAsBoundParameters) {
  const std::string nasty = "'; drop table x; --\\";
  EXPECT_EQ(change_messages({{.name = "a", .value = nasty}, {.name = "b", .value = {}}}),
            wire::parse("",
                        "SELECT pg_catalog.set_config($1, $2, false), "
                        "pg_catalog.set_config($3, $4, false)") +
                wire::bind({"a", nasty, "b", std::nullopt}) + wire::execute() + wire::sync());
}

TEST(ParameterSets, EqualSetsAreOneObject) {
  ParameterSets sets;
  const Parameters one = sets.intern(set_of({{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(sets.intern(set_of({{"B", "2"}, {"a", "1"}})), one);
  EXPECT_NE(sets.intern(set_of({{"a", "1"}})), one);
  const Parameters changed = sets.with(one, "A", "9");
  EXPECT_EQ(*changed->find("a"), "9");
  EXPECT_EQ(*one->find("a"), "1");
  EXPECT_EQ(sets.with(changed, "a", "1"), one);
  EXPECT_EQ(sets.with(one, "b", "2"), one);
}

TEST(ParameterSets, ForgetsSetsThatNobodyHas) {
  ParameterSets sets;
  const Parameters kept = sets.intern(set_of({{"kept", "1"}}));
  for (int i = 0; i < 10'000; ++i) sets.with(kept, "a", std::to_string(i));
  EXPECT_LE(sets.size(), 200U);
  EXPECT_EQ(sets.intern(set_of({{"kept", "1"}})), kept);
}

TEST(ParameterSets, AMeaningHasTheEncodingOfTheText) {
  ParameterSets sets;
  const Parameters set = sets.intern(
      set_of({{"DateStyle", "client_encoding"}, {"client_encoding", "UTF8"}, {"TimeZone", "UTC"}}));
  EXPECT_EQ(encoding_in(set->meaning()), "UTF8");
  const Parameters other = sets.with(set, "client_encoding", "LATIN1");
  EXPECT_EQ(with_encoding(set->meaning(), "LATIN1"), other->meaning());
  EXPECT_EQ(with_encoding(set->meaning(), "UTF8"), set->meaning());
  EXPECT_EQ(encoding_in(sets.intern(set_of({{"DateStyle", "ISO"}}))->meaning()), "");
  EXPECT_EQ(with_encoding("", "UTF8"), "");
  EXPECT_EQ(encoding_in("client_encoding"), "");
}

}  // namespace
}  // namespace doorman::session
