#include "server/log.hpp"

#include <fcntl.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/base/time.hpp"

namespace relay {
namespace {

constexpr std::size_t most_waiting = std::size_t{4} << 20;  // bytes of lines that wait for the writer
constexpr std::chrono::milliseconds gathered_for{100};
constexpr std::chrono::seconds last_flush{1};

std::atomic<std::uint64_t> dropped_lines{0};

// What the sink and its thread share. The thread may be held by a reader who does not read, also when the
// program ends: so each keeps it alive.
struct log_queue {
  std::mutex mutex;  // guards all but `file`
  std::condition_variable wake, idle;
  std::string waiting;
  std::uint64_t dropped = 0;  // since the last line that said so
  bool at_once = false;       // do not gather more lines first
  bool writing = false;
  bool stopping = false;
  int file = STDOUT_FILENO;  // the writer's, once it runs
  bool own_file = false;
  int next_file = -1;  // takes its place before the next lines

  ~log_queue() {
    if (own_file) ::close(file);
    if (next_file >= 0) ::close(next_file);
  }
};

int open_log_file(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

// False: what is left could not be written.
bool write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(file, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

void write_lines(const std::shared_ptr<log_queue>& q) {
  std::string lines;
  std::unique_lock lock(q->mutex);
  for (;;) {
    q->writing = false;
    if (q->waiting.empty()) q->idle.notify_all();
    q->wake.wait(lock, [&] { return !q->waiting.empty() || q->stopping; });
    if (q->waiting.empty()) return;
    q->wake.wait_for(lock, gathered_for, [&] { return q->at_once || q->stopping; });
    lines.clear();
    lines.swap(q->waiting);
    const std::uint64_t dropped = std::exchange(q->dropped, 0);
    q->at_once = false;
    q->writing = true;
    if (q->next_file >= 0) {
      if (q->own_file) ::close(q->file);
      q->file = std::exchange(q->next_file, -1);
      q->own_file = true;
    }
    lock.unlock();
    if (dropped > 0) {
      const std::string gap =
          "(" + std::to_string(dropped) + " log lines were dropped here: nobody read the log)\n";
      write_all(q->file, gap);
    }
    if (!write_all(q->file, lines)) {  // the disk is full, or the reader has gone
      dropped_lines += static_cast<std::uint64_t>(std::ranges::count(lines, '\n'));
    }
    lock.lock();
  }
}

// Lines go to a thread of their own: a reader that is slow, or reads nothing, delays no thread of the relay.
// The oldest are dropped when too many wait.
class queue_sink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit queue_sink(const std::string& path) {
    if (!path.empty()) {
      queue_->file = open_log_file(path);
      queue_->own_file = true;
      if (queue_->file < 0) throw spdlog::spdlog_ex("cannot open the log file " + path, errno);
    }
    shown_at_once_ = path.empty() && ::isatty(STDOUT_FILENO) == 1;
    writer_ = std::thread([q = queue_] { write_lines(q); });
  }
  ~queue_sink() override {
    {
      const std::lock_guard lock(queue_->mutex);
      queue_->stopping = true;
    }
    queue_->wake.notify_all();
    if (wait_until_written()) {
      writer_.join();
    } else {
      writer_.detach();
    }
  }

  /// Takes the file over.
  void write_to(int file) {
    const std::lock_guard lock(queue_->mutex);
    if (queue_->next_file >= 0) ::close(queue_->next_file);
    queue_->next_file = file;
  }

  /// False: not within a second.
  bool wait_until_written() {
    std::unique_lock lock(queue_->mutex);
    queue_->at_once = true;
    queue_->wake.notify_all();
    return queue_->idle.wait_for(lock, last_flush,
                                 [&] { return queue_->waiting.empty() && !queue_->writing; });
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    const std::lock_guard lock(queue_->mutex);
    formatter_->format(message, line);
    if (queue_->waiting.size() + line.size() > most_waiting) drop_oldest();
    const bool first = queue_->waiting.empty();
    queue_->waiting.append(line.data(), line.size());
    if (shown_at_once_ || message.level >= spdlog::level::warn) queue_->at_once = true;
    if (first || queue_->at_once) queue_->wake.notify_one();
  }
  void flush_() override {}

 private:
  // Half of them at once, so that it is not done for each line.
  void drop_oldest() {
    const auto end = queue_->waiting.find('\n', most_waiting / 2);
    const std::size_t size = end == std::string::npos ? queue_->waiting.size() : end + 1;
    const auto lines = static_cast<std::uint64_t>(std::count(
        queue_->waiting.begin(), queue_->waiting.begin() + static_cast<std::ptrdiff_t>(size), '\n'));
    queue_->waiting.erase(0, size);
    queue_->dropped += lines;
    dropped_lines += lines;
  }

  const std::shared_ptr<log_queue> queue_ = std::make_shared<log_queue>();
  bool shown_at_once_ = false;
  std::thread writer_;
};

// Time (UTC), level and message: a line of text, or of JSON. The second is written once and kept.
class line_formatter final : public spdlog::formatter {
 public:
  explicit line_formatter(bool as_json) : as_json_(as_json) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const auto second = std::chrono::floor<std::chrono::seconds>(message.time);
    if (second != second_ || date_.empty()) {
      second_ = second;
      date_ = to_iso(second, precision::milliseconds);
      date_.resize(date_.find('.'));
    }
    const auto ms = std::chrono::duration_cast<milliseconds>(message.time - second).count();
    const char fraction[] = {'.', digit(ms / 100), digit(ms / 10), digit(ms), 'Z'};
    const auto level = spdlog::level::to_string_view(message.level);
    const std::string_view level_name(level.data(), level.size());
    const std::string_view text(message.payload.data(), message.payload.size());
    const auto add = [&out](std::string_view part) { out.append(part.data(), part.data() + part.size()); };
    if (as_json_) add(R"({"time":")");
    add(date_);
    add({fraction, sizeof fraction});
    if (as_json_) {
      add(R"(","level":")");
      add(level_name);
      add("\"");
      if (text.starts_with(json_members)) {
        add(text.substr(1));
      } else {
        add_text(text, out);
      }
      add("}\n");
    } else {
      constexpr std::string_view spaces = "         ";  // levels in a column
      add(" ");
      add(level_name);
      add(spaces.substr(0, level_name.size() < 7 ? 8 - level_name.size() : 1));
      add(text);
      add("\n");
    }
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<line_formatter>(as_json_);
  }

 private:
  // Of a line that begins with the job or the request that it is about, that is a field too.
  static void add_text(std::string_view text, spdlog::memory_buf_t& out) {
    const auto add = [&out](std::string_view part) { out.append(part.data(), part.data() + part.size()); };
    for (const auto& [begin, field] :
         {std::pair<std::string_view, std::string_view>{"task ", "task"}, {"request ", "request_id"}}) {
      const std::size_t end = text.starts_with(begin) ? text.find(": ") : text.npos;
      if (end == text.npos || text.substr(begin.size(), end - begin.size()).contains(' ')) continue;
      add(",\"");
      add(field);
      add("\":");
      add(json::serialize(json::string(text.substr(begin.size(), end - begin.size()))));
    }
    add(R"(,"message":)");
    add(json::serialize(json::string(text)));
  }
  static char digit(std::int64_t n) { return static_cast<char>('0' + n % 10); }

  const bool as_json_;
  std::chrono::sys_seconds second_{};
  std::string date_;
};

// Query fields whose values are no secrets; whatever else a client sends may be one.
constexpr std::string_view shown_values[] = {"limit", "offset", "ids"};

}  // namespace

void append_loggable_target(std::string& out, std::string_view target) {
  constexpr std::size_t most = 200;
  for (const std::string_view secret_after : {"/callbacks/", "/uploads/", "/assets/"}) {
    const auto at = target.find(secret_after);
    if (at == std::string_view::npos) continue;
    append_for_log(out, target.substr(0, at + secret_after.size()), most);
    out += "…";
    return;
  }
  const auto mark = target.find('?');
  if (mark == std::string_view::npos) return append_for_log(out, target, most);
  std::string shown(target.substr(0, mark + 1));
  for (std::string_view rest = target.substr(mark + 1); !rest.empty() && shown.size() < most;) {
    const std::string_view field = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), field.size() + 1));
    const std::string_view name = field.substr(0, field.find('='));
    const bool whole = std::ranges::find(shown_values, name) != std::end(shown_values);
    shown.append(whole ? field : name)
        .append(whole || name == field ? "" : "=…")
        .append(rest.empty() ? "" : "&");
  }
  append_for_log(out, shown, most);
}

std::shared_ptr<spdlog::logger> make_logger(const log_config& c) {
  auto logger = std::make_shared<spdlog::logger>("luma-relay", std::make_shared<queue_sink>(c.file));
  logger->set_level(spdlog::level::from_str(c.level));
  logger->set_formatter(std::make_unique<line_formatter>(c.format == "json"));
  return logger;
}

result<void> reopen_log(spdlog::logger& log, const std::string& path) {
  if (path.empty()) return {};
  for (const auto& sink : log.sinks()) {
    auto* queue = dynamic_cast<queue_sink*>(sink.get());
    if (queue == nullptr) continue;
    const int file = open_log_file(path);
    if (file < 0)
      return fail(errc::internal, "cannot open the log file " + path + ": " + std::strerror(errno));
    queue->write_to(file);
  }
  return {};
}

void finish_log(spdlog::logger& log) {
  for (const auto& sink : log.sinks()) {
    if (auto* queue = dynamic_cast<queue_sink*>(sink.get())) queue->wait_until_written();
  }
}

std::uint64_t log_lines_dropped() {
  return dropped_lines;
}

std::shared_ptr<spdlog::logger> silent_logger() {
  return std::make_shared<spdlog::logger>("silent", std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace relay
