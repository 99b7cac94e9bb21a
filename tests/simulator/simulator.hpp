#pragma once

// A believable Luma upstream on loopback: the sandbox of the demo and the upstream of the tests. It keeps a
// log of what it was asked, which tests use as the oracle. One loop; run() may be a thread of its own,
// everything public is then safe from other threads.
//
// What a prompt can ask for:
//   #fail         ends in failed, "Job failed"
//   #moderated    ends in failed, "Advanced prompt moderation failed"
//   #answer-NNN   the job is created, but the answer to the create is status NNN
//   #refuse-NNN   nothing is created, the answer is status NNN
//   #quote-NNN    the same, and the answer quotes the key
//   #hang         the job is created, and the create is never answered
//   #cut          the job is created, and the connection ends without an answer
//   #garbage      the job is created, and the answer is no JSON
//   #drop         nothing is created, and the connection ends without an answer
//   #late-NNN     the connection ends without an answer, and the job is created NNN milliseconds later
// Where a request has no prompt, `resolution` can ask for the same. With #at-NAME in it, all that is for the
// simulator of this name alone, with #at-NAME/KEY for this key of it; there may be several of them.

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "server/http/listener.hpp"
#include "tests/simulator/job.hpp"

namespace relay::sim {

struct options {
  std::string listen = "127.0.0.1:0";
  std::string key = "luma-sim-key";
  std::vector<std::string> more_keys;  // each an account of its own, with jobs of its own
  std::string protocol = "luma";       // or "station", "agents"
  std::string name;                    // see #at-NAME
  milliseconds queued_for{1'000};
  milliseconds dreams_for{4'000};
  int at_once = 10;                   // with `limits`: jobs of one key,
  int in_minute = 20;                 // and creates of one key
  std::chrono::seconds links_for{0};  // addresses of results end so long after a job was first
                                      // seen completed, those that are named later after an hour; 0: never
  bool by_polls = false;              // jobs move on with each question, not with time: for tests
  bool limits = false;                // the Build tier's: 10 jobs at once, 20 creates a minute
  std::string public_url;             // where its files are fetched; empty: where it listens
  std::size_t max_log = 100'000;      // entries kept of each kind
  bool echo_callback = true;          // the official API does; false: `request.callback_url` is null
  bool silent = false;                // no callbacks
  milliseconds list_lag{0};           // a job is in the list only so long after its creation
  milliseconds poll_delay{0};         // how long an answer to a question about a job takes

  // The list.
  std::size_t list_page = 100;   // items it gives at most, whatever it is asked for
  std::size_t list_padding = 0;  // bytes of text in each item
  int list_depth = 0;            // levels of arrays in a field of each item
  std::size_t list_odd = 0;      // an item that is none before every so many; 0: none
  int list_fails = 0;            // percent of the requests that get status 500
  bool list_says_more = true;    // `has_more` is there
  int list_shrinks = 0;          // so many of its newest jobs are deleted before its second page is read
  enum class lie { none, ends_early, hours_early, oldest_first };
  lie list_lies = lie::none;  // every page is the last; times are 8 h early; the order is the other one
};

class simulator {
 public:
  explicit simulator(options o);
  ~simulator();

  void run();
  void stop();
  /// The list responds with 503.
  void list_is_down(bool down);
  /// A DELETE responds with 500.
  void removals_fail(bool fail);
  /// Polls get 404: of the jobs that are created from now on, which the list does not show either; of all, in
  /// its own words, while the list shows them; of all, in a gateway's words.
  enum class amnesia { none, new_jobs, polls, gateway };
  void forget_jobs(amnesia how);
  /// Creates with this key get this status, and nothing is created; 0: as usual.
  void refuse_key(std::string key, int status);
  std::uint16_t port() const { return listener_->port(); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }

 private:
  awaitable<http::reply> handle(http::request& r);
  /// What a POST on a path asks for.
  struct order {
    std::string kind;       // "video" or "image"; empty: no such path
    std::string base;       // id of the job it builds on; empty: none
    std::string builds_on;  // see job
  };
  order order_of(std::string_view rest) const;
  http::reply create(const http::request& r, const std::string& key, bool& hang, const order& what);
  awaitable<http::reply> fetch(std::string id, std::string key);
  http::reply remove(std::string_view path);
  http::reply list(const http::request& r, const std::string& key);
  http::reply asset(std::string_view path);
  http::reply log(const http::request& r) const;
  http::reply detail(int status, std::string_view text) const;
  json::object render(const job& j) const;
  json::value listed(const job& j) const;
  job& make_job(json::object request, const std::string& key, const order& what);
  awaitable<> make_late(json::object request, std::string key, milliseconds after, order what);
  bool authorised(const std::string& key) const;
  bool is_meant(const std::string& prompt, const std::string& key) const;
  bool over_limit(const std::string& key, timestamp now, std::string& why);
  awaitable<> call_back(std::string id);
  awaitable<bool> post_once(std::string url, std::string body);

  const options options_;
  asio::io_context loop_{1};
  deadlines deadlines_{loop_};
  http::session_shared shared_{deadlines_};
  std::unique_ptr<http::listener> listener_;
  steady_timer stop_signal_{loop_.get_executor()};
  std::unordered_map<std::string, job> jobs_;
  std::deque<std::string> order_;                                          // ids, oldest first
  std::unordered_map<std::string, std::deque<timestamp>> recent_creates_;  // by key, within the last minute
  std::unordered_map<std::string, int> refused_keys_;
  std::int64_t wrong_key_ = 0;        // questions about a job with another key than it was created with
  std::deque<json::object> creates_;  // what was asked, oldest first
  std::unordered_map<std::string, std::int64_t> polls_;
  std::unordered_map<std::string, int> asking_;  // questions in flight
  int most_at_once_ = 0;                         // about one job
  std::deque<steady_clock::time_point> last_second_;
  std::size_t most_in_a_second_ = 0;
  std::unordered_set<std::string> removed_;
  std::int64_t removes_ = 0;
  bool removals_fail_ = false;
  std::int64_t lists_ = 0;
  std::int64_t word_lists_ = 0;
  bool list_down_ = false;
  bool shrunk_ = false;
  amnesia forgotten_ = amnesia::none;
  timestamp forgets_since_;
  bool is_forgotten(const job& j) const;
  std::int64_t refused_ = 0;
  std::int64_t callbacks_ = 0;
};

}  // namespace relay::sim
