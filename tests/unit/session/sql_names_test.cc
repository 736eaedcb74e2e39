#include "session/sql_names.h"

#include <gtest/gtest.h>

namespace doorman::session {
namespace {

// Letters for what is done, each with its name.
std::string uses(std::string_view sql, wire::SqlDialect dialect = {}) {
  static constexpr std::string_view kLetters = "PEDAS";
  std::string out;
  for (const SqlName& each : names_in(sql, dialect)) {
    if (!out.empty()) out += ' ';
    out += kLetters[static_cast<std::size_t>(each.use)];
    if (!each.name.empty()) out += ":" + each.name;
  }
  if (!out.empty()) {
    EXPECT_TRUE(may_concern_names(sql)) << sql;
  }
  return out;
}

TEST(SqlNames, AreFoundInAnyCaseAndQuoting) {
  EXPECT_EQ(uses("prepare Foo as select 1"), "P:foo");
  EXPECT_EQ(uses(" /* c */ PREPARE \"Foo\" (int, text) AS select $1"), "P:Foo");
  EXPECT_EQ(uses("eXecute a(1, 'b;c')"), "E:a");
  EXPECT_EQ(uses("deallocate a"), "D:a");
  EXPECT_EQ(uses("DEALLOCATE PREPARE \"a\"\"b\""), "D:a\"b");
  EXPECT_EQ(uses("-- first\ndeallocate prepare"), "D:prepare");
  EXPECT_EQ(uses("deallocate U&\"\\0061b\""), "D:ab");
  EXPECT_EQ(uses("deallocate all"), "A");
  EXPECT_EQ(uses("deallocate prepare all;"), "A");
  EXPECT_EQ(uses("deallocate \"all\""), "D:all");
  EXPECT_EQ(uses("DISCARD ALL"), "A");
}

TEST(SqlNames, AreFoundInsideOfOtherStatements) {
  EXPECT_EQ(uses("explain execute a"), "E:a");
  EXPECT_EQ(uses("explain (analyze, verbose) execute \"A\" (1)"), "E:A");
  EXPECT_EQ(uses("create temp table t as execute a"), "E:a");
  EXPECT_EQ(uses("create table t (a int); select 1; deallocate a; execute b"), "D:a E:b");
}

TEST(SqlNames, AreNotSeenWhereThereAreNone) {
  EXPECT_EQ(uses("select 'x; deallocate a'"), "");
  EXPECT_EQ(uses("select $$; deallocate a;$$; select 1"), "");
  EXPECT_EQ(uses("select 1 /* ; deallocate a */; select 2"), "");
  EXPECT_EQ(uses("prepare transaction 'x'"), "");
  EXPECT_EQ(uses("prepare transaction as select 1"), "P:transaction");
  EXPECT_EQ(uses("discard plans"), "");
  EXPECT_EQ(uses("deallocate"), "");
  EXPECT_EQ(uses("execute 'a'"), "");
  EXPECT_EQ(uses("create trigger t before insert on x execute function f()"), "");
  EXPECT_EQ(uses(""), "");
}

TEST(SqlNames, StringsEndAsTheSettingSays) {
  const std::string_view sql = R"(select 'a\'; deallocate x; --')";
  EXPECT_EQ(uses(sql), "D:x");
  EXPECT_EQ(uses(sql, {.standard_conforming_strings = false}), "");
}

TEST(SqlNames, SettingsThatChangeMeanings) {
  EXPECT_EQ(uses("set search_path = a"), "S:search_path");
  EXPECT_EQ(uses("SET LOCAL DateStyle TO 'German'"), "S:datestyle");
  EXPECT_EQ(uses("set session time zone 'UTC'"), "S:timezone");
  EXPECT_EQ(uses("set names 'latin1'"), "S:client_encoding");
  EXPECT_EQ(uses("set schema 'a'"), "S:search_path");
  EXPECT_EQ(uses("set role a"), "S:role");
  EXPECT_EQ(uses("set session authorization a"), "S:authorization");
  EXPECT_EQ(uses("reset all"), "S:all");
  EXPECT_EQ(uses("set local statement_timeout = 5; set transaction isolation level serializable;"
                 "set session characteristics as transaction read only; set app.user = 'x'"),
            "");
}

TEST(SqlNames, WhatASetMakesOfTheEncoding) {
  const auto set_by = [](std::string_view sql) {
    return encoding_set_by(sql, {}).value_or("nothing");
  };
  EXPECT_EQ(set_by("SET client_encoding = 'LATIN1'"), "LATIN1");
  EXPECT_EQ(set_by("/* x */ set local Client_Encoding to utf8;"), "utf8");
  EXPECT_EQ(set_by("set session names 'EUC_JP'"), "EUC_JP");
  EXPECT_EQ(set_by("set client_encoding to default"), "");
  EXPECT_EQ(set_by("reset client_encoding"), "");
  EXPECT_EQ(set_by("RESET ALL"), "");
  for (const std::string_view sql :
       {"set datestyle = 'German'", "reset datestyle", "select 1", "", "set", "set client_encoding",
        "set client_encoding 'LATIN1'", "set client_encoding = E'LATIN1'",
        "set client_encoding = ''", "set names 'a''b'"}) {
    EXPECT_EQ(set_by(sql), "nothing") << sql;
  }
}

TEST(SqlNames, MostTextsAreNotLookedAt) {
  for (const std::string_view sql :
       {"select 1", "SELECT 1;", " insert into t values (1) ;\n", "begin", "update t set a = 1",
        "savepoint a", "rollback", "delete from t", "copy t from stdin", ""}) {
    EXPECT_FALSE(may_concern_names(sql)) << sql;
  }
}

}  // namespace
}  // namespace doorman::session
