#pragma once

// The files that clients hand over: pictures and videos, uploaded or as base64 in a request. An upstream
// fetches them by an address of the relay's that cannot be guessed. A file is kept until a while after it was
// received, and after the end of the last job that was given its address. Loop thread.

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/file_output.hpp"
#include "config/config.hpp"
#include "server/assets/asset_files.hpp"
#include "server/assets/file_thread.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class request_files;

/// Room for the files of all clients and of each; what is taken for a request that ends without keeping its
/// files is given back.
class asset_room {
 public:
  asset_room(std::int64_t in_all, std::int64_t of_one) : in_all_(in_all), of_one_(of_one) {}

  /// A small file takes more of a disk than its bytes.
  static std::int64_t taken_by(std::int64_t bytes) { return std::max(bytes, smallest); }

  /// False, and nothing changes: there is not as much.
  bool take(std::int64_t owner, std::int64_t bytes);
  /// Whether there is as much or not.
  void hold(std::int64_t owner, std::int64_t bytes);
  void give_back(std::int64_t owner, std::int64_t bytes);
  std::int64_t used() const { return used_; }
  std::int64_t used_by(std::int64_t owner) const;
  std::int64_t in_all() const { return in_all_; }
  std::int64_t of_one() const { return of_one_; }

 private:
  static constexpr std::int64_t smallest = 64 * 1024;

  const std::int64_t in_all_, of_one_;
  std::int64_t used_ = 0;
  std::unordered_map<std::int64_t, std::int64_t> by_owner_;
};

/// Files that are being received at once, and as many that are being sent: a descriptor each.
inline constexpr std::size_t most_open_assets = 256;
/// One owner's share of them.
inline constexpr std::size_t most_open_of_one = most_open_assets / 2;
/// In one request.
inline constexpr std::size_t most_files = 16;

/// A stored file that is being sent.
struct open_asset {
  std::shared_ptr<owned_fd> fd;
  file_type type = file_type::png;  // what it is, whatever its address says
  std::uint64_t bytes = 0;
};

class assets {
 public:
  /// `public_url`: where upstreams reach the relay. `min_free`: twice as many bytes stay free on its disk,
  /// of a small one a tenth.
  assets(asio::io_context& loop, store& s, const assets_config& c, std::string public_url,
         std::int64_t min_free, spdlog::logger& log);
  ~assets();

  /// Before the loop runs: reads what is stored. Errors: internal.
  result<void> load();
  /// Deletes what has had its time, until stop().
  awaitable<> run();
  void stop();

  /// For the files of a request of this owner. `id`: of the one file in it, when it is known before.
  std::shared_ptr<request_files> receive(std::int64_t owner, std::string id = {});
  /// Errors: not_found; overloaded; internal.
  awaitable<result<open_asset>> open(asset_name name);
  /// Up to `most` bytes from there. Errors: internal.
  awaitable<result<std::string>> read(const open_asset& from, std::uint64_t at, std::size_t most);

  std::string url_of(const asset_name& name) const;
  /// Where a file of this name is to be put.
  std::string upload_url_of(const asset_name& name, std::string_view permit) const;
  /// The name in an address of a file here; nullopt: it is none.
  std::optional<asset_name> name_in(std::string_view url) const;

  /// A word that lets anyone who knows it store one file, of this name, for this owner, for some minutes.
  std::string permit(std::int64_t owner, const asset_name& name, timestamp now) const;
  /// Whose it is; nullopt: it is no such word, or its time is over.
  std::optional<std::int64_t> permitted(const asset_name& name, std::string_view word, timestamp now) const;
  bool has(const std::string& id) const { return stored_.contains(id); }

  std::size_t files() const { return stored_.size(); }
  std::int64_t bytes() const { return room_.used(); }
  const assets_config& limits() const { return config_; }

 private:
  friend class request_files;

  struct stored {
    std::int64_t owner = 0;
    file_type type = file_type::png;
    std::int64_t bytes = 0;
    timestamp due;                   // when it is looked at
    std::vector<std::string> tasks;  // that were given its address
    int in_use = 0;                  // by requests that are being handled
    std::uint64_t uses = 0;          // so far; tells after a wait that there was another
  };
  using entry = std::unordered_map<std::string, stored>::iterator;

  void add(std::string id, stored s);
  void set_due(entry e, timestamp at);
  void erase(entry e);
  awaitable<> look_at(std::string id);
  awaitable<result<timestamp>> last_need(const std::string& id, timestamp time);

  store& store_;
  const assets_config config_;
  const std::string base_;    // of all addresses
  const std::string prefix_;  // of those of files
  const std::int64_t min_free_;
  std::int64_t reserve_ = 0;  // what that is on this disk
  spdlog::logger& log_;
  const asset_files files_;
  asset_room room_;
  std::unordered_map<std::string, stored> stored_;
  std::set<std::pair<timestamp, std::string>> by_due_;
  const std::string permit_key_;            // of this process
  std::atomic<std::size_t> receiving_ = 0;  // files; the file thread begins them
  std::size_t sending_ = 0;                 // files
  std::unordered_map<std::int64_t, std::size_t> receiving_by_, sending_by_;  // owner
  steady_timer pause_;
  bool stopped_ = false;
  file_thread thread_;  // the last: it ends first
};

/// The files of one request, from their first byte until the request has ended. Those that were not kept are
/// removed with it. file_output: file thread, while the loop waits for it; all else: loop thread.
class request_files final : public file_output {
 public:
  request_files(assets& of, std::int64_t owner, std::string id)
      : of_(of), owner_(owner), id_(std::move(id)) {}
  ~request_files() override;
  request_files(const request_files&) = delete;
  request_files& operator=(const request_files&) = delete;

  result<void> begin() override;
  result<void> write(std::string_view bytes) override;
  result<std::string> end() override;

  /// From here on a lack of room is an error of keep() and of nothing before: what the bytes are is still
  /// known. For a request that may have come before: its answer is then the one to that.
  void go_on_without_room() { goes_on_ = true; }
  /// There is room for so many bytes more. Errors: assets_full.
  result<void> reserve(std::int64_t bytes);
  /// What was received is all that is needed of that.
  void settle();
  /// Runs on the file thread.
  template <class Work, class Value = std::invoke_result_t<Work&>>
  awaitable<Value> run(Work work) {
    return of_.thread_.run(std::move(work));
  }

  /// The file that this text stands for; null: none of this request.
  const incoming_file* find(std::string_view stands_for) const;
  std::size_t received() const { return incoming_.size(); }
  /// Its address, once it is kept.
  std::string url_of(const incoming_file& f) const;
  /// It is needed; those that are not are not kept.
  void want(const incoming_file& f);
  /// False: a file was received that nothing needs.
  bool all_wanted() const;
  /// A file that was uploaded before is needed. False: there is no such file any more.
  bool want_stored(const asset_name& name);

  /// What is wanted is on disk from here on, given to this job; empty: to none. Errors: assets_full, conflict
  /// (there is a file of that id), internal.
  awaitable<result<void>> keep(std::string task_id);
  /// The request did what it was sent for: the files stay.
  void done();

 private:
  result<void> no_room(error e);
  std::unexpected<error> not_stored(error e) const;
  void count_open();
  result<void> put_all(const std::vector<std::pair<std::int64_t, std::string>>& marks);

  assets& of_;
  const std::int64_t owner_;
  const std::string id_;  // of the first; empty: a random one
  std::int64_t reserved_ = 0;
  std::vector<std::unique_ptr<incoming_file>> incoming_;
  std::size_t counted_ = 0;  // of these, among the owner's
  std::vector<incoming_file*> wanted_;
  std::vector<std::string> stored_;  // wanted too, and in use until then
  std::string task_id_;
  bool on_disk_ = false;
  bool goes_on_ = false;
  std::optional<error> full_;  // nothing more is stored
};

}  // namespace relay
