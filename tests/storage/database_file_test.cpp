// Which file is taken for the database, and which never (rule F11).

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "storage/sqlite/backup.hpp"
#include "storage/sqlite/database_file.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/later_check.hpp"
#include "tests/support/luma.hpp"
#include "tests/support/opened_store.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay {
namespace {
namespace fs = std::filesystem;

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}
std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void insert_jobs(test::opened_store& s, int from, int count) {
  if (from == 0) {
    account owner;
    owner.name = "a";
    ASSERT_TRUE(s.get(&store::write_account, owner, audit_ptr{}));
  }
  for (int i = from; i < from + count; ++i) {
    task t = test::luma_task();
    t.id = "t-" + std::to_string(i);
    t.owner = 1;
    t.request = std::string(2'000, 'x');
    ASSERT_TRUE(s.get(&store::write, change{nullptr, t, std::nullopt}));
  }
}

struct database_file : ::testing::Test {
  // As a relay leaves it that is killed: the newest jobs are in the log alone.
  void make_killed(const std::string& as, int jobs) {
    test::opened_store s(dir.file("working.db"));
    insert_jobs(s, 0, jobs);
    copy("working.db", as);
  }
  void copy(const std::string& from, const std::string& to) {
    for (const char* suffix : {"", "-wal"}) {
      if (fs::exists(dir.file(from + suffix)))
        fs::copy_file(dir.file(from + suffix), dir.file(to + suffix), fs::copy_options::overwrite_existing);
    }
  }
  void run_sql(const std::string& on, const char* sql) {
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(on.c_str(), &raw), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(raw, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(raw);
    sqlite3_close(raw);
  }

  test::temp_dir dir;
  const std::string path = dir.file("relay.db");
};

TEST_F(database_file, a_new_one_is_whole_from_its_first_moment_and_said_aloud) {
  // What an earlier start left, which was cut off.
  write_file(path + ".new", "half");
  write_file(path + ".new-wal", "half");
  {
    test::opened_store s(path);
    ASSERT_EQ(s.noticed.size(), 1u);
    EXPECT_NE(s.noticed[0].find("no database " + fs::canonical(path).string()), std::string::npos);
    EXPECT_FALSE(fs::exists(path + ".new"));
    EXPECT_FALSE(fs::exists(path + ".new-wal"));
    auto alone = sqlite::db::open(path, sqlite::role::inspector);
    ASSERT_TRUE(alone);
    EXPECT_GT(sqlite::schema_version(*alone).value(), 4);
    EXPECT_EQ(bytes_of(path).substr(68, 4), "Luma");
  }
  test::opened_store again(path);
  EXPECT_TRUE(again.noticed.empty());
}

TEST_F(database_file, what_is_none_of_ours_is_refused_with_what_to_do) {
  const struct {
    const char* name;
    std::function<void()> make;
    std::vector<std::string> says;
  } table[] = {
      {"empty", [&] { write_file(path, ""); }, {"is empty", "Restore a backup", "delete it"}},
      {"empty beside a log",
       [&] {
         make_killed("relay.db", 3);
         write_file(path, "");
       },
       {"is empty", "Restore a backup", "move " + fs::path(path).string() + "-wal away"}},
      {"missing beside a log",
       [&] {
         make_killed("relay.db", 3);
         fs::remove(path);
       },
       {"there is no database", "-wal, which may hold jobs", "put the database back"}},
      {"text", [&] { write_file(path, std::string(5'000, 'x')); }, {"is not an SQLite database"}},
      {"short", [&] { write_file(path, "SQLite format 3"); }, {"is not an SQLite database"}},
      {"no table",
       [&] { run_sql(path, "CREATE TABLE t(x); DROP TABLE t"); },
       {"without any table", "Restore a backup"}},
      {"another program's tables",
       [&] { run_sql(path, "CREATE TABLE task(x); CREATE TABLE notes(x)"); },
       {"of another program", "storage.path"}},
      {"another program's id",
       [&] { run_sql(path, "PRAGMA application_id=7; CREATE TABLE task(x); CREATE TABLE token(x)"); },
       {"of another program", "storage.path"}},
      {"another program's, in WAL mode",
       [&] { run_sql(path, "PRAGMA journal_mode=WAL; CREATE TABLE task(x); CREATE TABLE notes(x)"); },
       {"of another program", "storage.path"}},
      {"a pipe", [&] { ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); }, {"is not a file"}},
      {"cut off",
       [&] {
         {
           test::opened_store s(path);
           insert_jobs(s, 0, 100);
         }
         fs::resize_file(path, fs::file_size(path) - 3 * 4096);
       },
       {"was cut off", "Restore a backup"}},
      {"a folder", [&] { fs::create_directory(path); }, {"is not a file"}},
      {"a link to nothing",
       [&] { fs::create_symlink(dir.file("unmounted/relay.db"), path); },
       {"symbolic link", "not mounted"}},
      {"a backup beside the log of what it replaces",
       [&] {
         make_killed("relay.db", 50);
         ASSERT_TRUE(sqlite::backup(dir.file("working.db"), dir.file("backup.db")));
         fs::rename(dir.file("backup.db"), path);
       },
       {"-wal does not belong to", "move it away", "-shm"}},
      {"an older file beside a newer log",
       [&] {
         {
           test::opened_store s(dir.file("working.db"));
           insert_jobs(s, 0, 3);
         }
         copy("working.db", "relay.db");
         for (int i = 0; i < 2; ++i) {
           test::opened_store s(dir.file("working.db"));
           insert_jobs(s, 100 * (i + 1), 3);
           if (i == 1) fs::copy_file(dir.file("working.db-wal"), path + "-wal");
         }
       },
       {"-wal does not belong to", "another time or place"}},
      {"the log of another database",
       [&] {
         {
           test::opened_store s(path);
           insert_jobs(s, 0, 3);
         }
         test::opened_store s(dir.file("working.db"));
         insert_jobs(s, 0, 3);
         fs::copy_file(dir.file("working.db-wal"), path + "-wal");
       },
       {"-wal does not belong to", "another time or place"}},
  };
  for (const auto& row : table) {
    for (const auto& left : fs::directory_iterator(dir.file(""))) fs::remove_all(left);
    row.make();
    const bool is_file = fs::is_regular_file(path);
    const std::string before = is_file ? bytes_of(path) : "";
    const std::string log = fs::exists(path + "-wal") ? bytes_of(path + "-wal") : "";
    const auto beside = [&] {
      // To read a log, SQLite makes its index.
      const bool has_log = fs::exists(path + "-wal");
      return std::array{fs::exists(path + ".lock"), has_log, !has_log && fs::exists(path + "-shm")};
    };
    const auto stood_there = beside();
    const std::string refused = test::refusal_of(path);
    for (const std::string& part : row.says)
      EXPECT_NE(refused.find(part), std::string::npos) << row.name << ": " << refused;
    // Whatever it is, it is as it was, and nothing stands beside it.
    EXPECT_EQ(beside(), stood_there) << row.name;
    EXPECT_EQ(is_file ? bytes_of(path) : "", before) << row.name;
    EXPECT_EQ(fs::exists(path + "-wal") ? bytes_of(path + "-wal") : "", log) << row.name;
  }
}

// A large one is served before all of it was read: what is damaged in it is found then, and ends all writes.
TEST_F(database_file, a_large_one_is_checked_while_it_is_served) {
  sqlite_options large;
  large.whole_check_bytes = 0;
  {
    test::opened_store s(path);
    insert_jobs(s, 0, 300);
  }
  // Open jobs are read at the start: these have ended.
  run_sql(path, "UPDATE task SET status='completed',next_submit_at=0,next_poll_at=0,finish_time=1");
  {
    test::opened_store whole(path, large);
    insert_jobs(whole, 300, 1);
  }
  // A page in the middle of the jobs. https://www.sqlite.org/fileformat2.html#b_tree_pages
  std::string bytes = bytes_of(path);
  std::size_t page = bytes.size() / 2 / 4096 * 4096;
  while (bytes[page] != 0x0d) page += 4096;
  bytes.replace(page + 8, 1'000, 1'000, '\x5a');
  write_file(path, bytes);
  EXPECT_NE(test::refusal_of(path).find("is damaged"), std::string::npos);
  {
    test::opened_store s(path, large);
    ASSERT_TRUE(s.kept);
    const std::string found = s.wait_for_warning();
    EXPECT_NE(found.find("is damaged"), std::string::npos) << found;
    EXPECT_NE(found.find("restore a backup"), std::string::npos) << found;
    const auto refused = s.get(&store::mark_alive, timestamp{});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, errc::storage_unavailable);
    EXPECT_EQ(s.stopped.size(), 1u);
  }
}

// What a start needs of a large one is checked before it.
TEST_F(database_file, a_large_one_with_damaged_tokens_is_refused) {
  sqlite_options large;
  large.whole_check_bytes = 0;
  {
    test::opened_store s(path);
    insert_jobs(s, 0, 3);
  }
  // The first page of the tokens: its kind is none that there is.
  int page = 0;
  {
    auto d = sqlite::db::open(path, sqlite::role::reader);
    ASSERT_TRUE(d);
    auto root = d->prepare("SELECT rootpage FROM sqlite_schema WHERE name='token'");
    ASSERT_TRUE(root.step().value());
    page = static_cast<int>(root.integer(0));
  }
  std::string bytes = bytes_of(path);
  bytes[static_cast<std::size_t>(page - 1) * 4096] = '\x7f';
  write_file(path, bytes);
  large.path = path;
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  const auto opened = open_sqlite_store(large, families(), std::move(hooks));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().log.text.find("is damaged"), std::string::npos) << opened.error().log.text;
}

// A check that is ended before it has read everything takes nothing for damage.
TEST_F(database_file, a_check_that_is_cut_short_finds_nothing) {
  {
    test::opened_store s(path);
    insert_jobs(s, 0, 3);
  }
  run_sql(path,
          "CREATE TABLE large(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<8000) "
          "INSERT INTO large SELECT hex(randomblob(1500)) FROM n");
  // As while a store has it: there is a log beside the file.
  auto keeps_log = sqlite::db::open(path, sqlite::role::reader);
  ASSERT_TRUE(keeps_log);
  ASSERT_TRUE(keeps_log->run("SELECT count(*) FROM token"));
  const auto file = sqlite::database_file::claim(path);
  ASSERT_TRUE(file) << file.error().log.text;
  std::mutex mutex;
  std::vector<std::string> warned;
  store_hooks hooks;
  hooks.warn = [&](const log_text& text) {
    const std::lock_guard lock(mutex);
    warned.push_back(text.text);
  };
  // At every moment of it: at once, and after ever more of it.
  for (int turns = 1; turns < 200'000; turns *= 2) {
    sqlite::later_check check(*file, hooks);
    for (int i = 0; i < turns; ++i) {
      if (turns % 3 == 1) check.give_way();
      std::this_thread::yield();
    }
    check.stop();
    EXPECT_TRUE(check.so_far());
  }
  EXPECT_TRUE(warned.empty()) << warned.front();
}

// Everything a relay can leave behind is taken, with the jobs that are in the log alone.
TEST_F(database_file, what_a_relay_leaves_is_taken) {
  int jobs = 0;
  for (int round = 0; round < 6; ++round) {
    {
      test::opened_store s(dir.file("working.db"));
      // Long enough for checkpoints within a round, and a last round that writes nothing.
      const int more = round == 5 ? 0 : round % 2 == 0 ? 1'500 : 3;
      insert_jobs(s, jobs, more);
      jobs += more;
      copy("working.db", "relay.db");  // as after a kill
    }
    {
      test::opened_store s(path);
      ASSERT_TRUE(s.kept) << round;
      EXPECT_EQ(s.get(&store::list, 1, page_request{10'000, 0}, std::size_t{1} << 30)->tasks.size(),
                static_cast<std::size_t>(jobs));
    }
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(path + suffix);
  }
}

TEST_F(database_file, the_lock_holds_by_every_name) {
  const test::opened_store s(path);
  fs::create_symlink(path, dir.file("symlink.db"));
  fs::create_hard_link(path, dir.file("hard.db"));
  fs::create_directory_symlink(dir.file("."), dir.file("folder"));
  for (const char* name : {"relay.db", "symlink.db", "hard.db", "folder/relay.db"}) {
    EXPECT_NE(test::refusal_of(dir.file(name)).find("another luma-relay uses this database"),
              std::string::npos)
        << name;
  }
}

// What was written into a file that nobody will look at again is not told as written.
TEST_F(database_file, one_that_is_replaced_while_it_is_open_gets_no_more_writes) {
  const struct {
    const char* name;
    std::function<void(const std::string&)> change;
    const char* says;
  } table[] = {
      {"moved", [](const std::string& p) { fs::rename(p, p + ".old"); }, "is gone"},
      {"deleted", [](const std::string& p) { fs::remove(p); }, "is gone"},
      {"replaced",
       [](const std::string& p) {
         fs::copy_file(p, p + ".copy");
         fs::rename(p + ".copy", p);
       },
       "another file stands in the place"},
      {"log deleted", [](const std::string& p) { fs::remove(p + "-wal"); }, "the log"},
  };
  for (const auto& row : table) {
    const std::string at = dir.file(std::string(row.name) + ".db");
    test::opened_store s(at);
    insert_jobs(s, 0, 2);
    row.change(at);
    const task t = test::luma_task();
    for (int i = 0; i < 2; ++i) {
      const auto refused = s.get(&store::mark_alive, timestamp(std::chrono::seconds(5)));
      ASSERT_FALSE(refused) << row.name;
      EXPECT_EQ(refused.error().code, errc::storage_unavailable);
      EXPECT_EQ(refused.error().message.text.find(dir.file("")), std::string::npos) << "no path for clients";
    }
    const std::lock_guard lock(s.mutex);
    ASSERT_EQ(s.stopped.size(), 1u) << row.name << ": told once";
    EXPECT_NE(s.stopped[0].find(row.says), std::string::npos) << s.stopped[0];
  }
}

// "Nothing was recorded" stays true when the file comes back.
TEST_F(database_file, what_was_refused_while_it_was_away_is_not_in_it) {
  const std::string at = dir.file("a.db");
  {
    test::opened_store s(at);
    insert_jobs(s, 0, 2);
    fs::rename(at, at + ".away");
    for (int i = 0; i < 2; ++i) {
      task t = test::luma_task();
      t.id = "away-" + std::to_string(i);
      t.owner = 1;
      const auto refused = s.get(&store::write, change{nullptr, t, std::nullopt});
      ASSERT_FALSE(refused);
      EXPECT_TRUE(refused.error().may_retry);
    }
    fs::rename(at + ".away", at);
  }
  test::opened_store s(at);
  EXPECT_EQ(s.get(&store::list, std::int64_t{1}, page_request{10, 0}, std::size_t{1'000'000})->ids.size(),
            2u);
}

}  // namespace
}  // namespace relay
