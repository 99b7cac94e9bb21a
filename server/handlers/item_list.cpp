#include "server/handlers/item_list.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "server/await_store.hpp"
#include "server/clock.hpp"

namespace relay::handlers {
namespace {

constexpr std::size_t whole_bytes = 256 * 1024;  // beyond it a response goes out in parts
constexpr std::size_t part_bytes = 64 * 1024;
constexpr std::size_t ids_at_once = 64;

// The tasks one after the other, as they are wanted.
class task_source {
 public:
  task_source(const call& c, std::vector<std::string> ids, std::vector<task_ptr> first, absent a)
      : in_(c.in), owner_(c.who.id), ids_(std::move(ids)), absent_(a) {
    for (task_ptr& t : first) ready_.push_back({next_++, std::move(t)});
  }

  /// The next one, if it was read ahead or is in memory; null: next() may know it.
  task_ptr next_at_hand() {
    task_ptr t;
    if (!ready_.empty()) {
      t = std::move(ready_.front().task);
      ready_.pop_front();
    } else if (next_ < ids_.size()) {
      t = in_.tasks.in_memory(ids_[next_]);
      if (t && !is_shown_to(*t, owner_)) t = nullptr;
      if (t) ++next_;
    }
    return t;
  }
  /// Null: there are no more.
  awaitable<result<task_ptr>> next() {
    while (ready_.empty() && next_ < ids_.size()) {
      auto read = co_await read_on();
      if (!read) co_return std::unexpected(std::move(read.error()));
    }
    if (ready_.empty()) co_return nullptr;
    task_ptr t = std::move(ready_.front().task);
    ready_.pop_front();
    co_return t;
  }
  /// One that was there before, as it was then; null: it has changed since.
  awaitable<result<task_ptr>> again(std::string id, std::int64_t revision) {
    auto found = co_await find_task(in_.tasks, owner_, std::move(id));
    if (found && *found && (*found)->revision != revision) *found = nullptr;
    co_return found;
  }
  /// The links of all that are in memory are asked for at once, so that the waits for them overlap.
  void begin_links() {
    if (std::exchange(links_begun_, true)) return;
    for (std::size_t i = next_; i < ids_.size(); ++i) {
      if (const task_ptr t = in_.tasks.in_memory(ids_[i]); t && is_shown_to(*t, owner_)) in_.links.begin(*t);
    }
  }
  /// What was read ahead is read again when it is wanted.
  void forget_what_is_ready() {
    if (ready_.empty()) return;
    next_ = ready_.front().index;
    ready_.clear();
    room_ = part_bytes;
  }

 private:
  awaitable<result<void>> read_on() {
    if (task_ptr t = next_at_hand()) {
      ready_.push_back({next_ - 1, std::move(t)});
      co_return result<void>{};
    }
    const auto end = std::min(next_ + ids_at_once, ids_.size());
    std::vector<std::string> wanted(ids_.begin() + static_cast<std::ptrdiff_t>(next_),
                                    ids_.begin() + static_cast<std::ptrdiff_t>(end));
    auto read = co_await from_store(in_.tasks, &store::find_many, owner_, std::move(wanted), room_);
    if (!read) co_return std::unexpected(std::move(read.error()));
    if (absent_ == absent::an_error && read->tasks.size() < read->looked_up)
      co_return fail(errc::overloaded, "A generation of this page was deleted meanwhile; ask again");
    // Each at the place of its id.
    std::size_t at = next_;
    for (task_ptr& t : read->tasks) {
      while (ids_[at] != t->id) ++at;
      ready_.push_back({at++, std::move(t)});
    }
    next_ += read->looked_up;
    co_return result<void>{};
  }

  struct ready_task {
    std::size_t index;  // in ids_
    task_ptr task;
  };
  handler_context& in_;
  const std::int64_t owner_;
  std::vector<std::string> ids_;
  const absent absent_;
  std::size_t next_ = 0;  // of ids_, to be read
  std::size_t room_ = tasks_at_once;
  bool links_begun_ = false;
  std::deque<ready_task> ready_;
};

// What goes out in parts: what was put together until it grew too long, and the rest.
struct long_reply {
  task_source source;
  const task_form& how;
  showing with;
  std::string begun;
  bool is_empty;  // no task is in it yet
  task_ptr next;  // the one that made it too long
  std::string after;
  std::string request_id;
  handler_context& in;
};

// One task in several parts. While its client does not read, what is left of it is kept only if nobody else
// needs the room; else it is made again.
awaitable<bool> send_large(long_reply& r, task_ptr t, http::body_stream& to) {
  const std::string id = t->id;
  const std::int64_t revision = t->revision;
  const std::size_t bytes = 2 * memory_of(*t);
  t.reset();
  std::size_t size = 0;
  for (std::size_t sent = 0; size == 0 || sent < size;) {
    large_texts::room room = co_await r.in.large.wait_for_room(bytes);
    auto found = co_await r.source.again(id, revision);
    if (!found || !*found) co_return false;
    auto made = co_await r.in.large.render(r.how, std::move(*found), r.with);
    if (!made || (size != 0 && made->size() != size)) co_return false;
    size = made->size();
    std::string text = std::move(*made);
    while (sent < size && !text.empty()) {
      const std::string part = text.substr(sent, part_bytes);
      sent += part.size();
      // The last look before it may have to wait.
      if (to.would_wait() && r.in.large.is_short()) {
        std::string().swap(text);
        room = {};
      }
      if (!co_await to.send(part)) co_return false;
    }
  }
  co_return true;
}

// What of a task may be long, and is shown: cheaper than memory_of(), for each item of a short list.
std::size_t text_of_job(const task& t) {
  return sizeof(task) + t.request.size() + t.reply.size() + t.callback_url.size() + t.fail_reason.size();
}

awaitable<bool> send_parts(long_reply& r, http::body_stream& to) {
  r.source.forget_what_is_ready();
  std::string out = std::move(r.begun);
  for (task_ptr t = std::move(r.next); t;) {
    if (!std::exchange(r.is_empty, false)) out += ',';
    if (memory_of(*t) <= large_task) {
      if (!r.in.rendered.append(out, r.how, *t, r.with)) co_return false;
    } else {
      if (!co_await to.send(out)) co_return false;
      std::string().swap(out);
      if (!co_await send_large(r, std::move(t), to)) co_return false;
    }
    if (out.size() >= part_bytes) {
      if (!co_await to.send(out)) co_return false;
      out.clear();
    }
    auto next = co_await r.source.next();
    if (!next) {
      r.in.log.error("request {}: the rest of the response cannot be read, the connection ends: {}",
                     r.request_id, next.error().log.text);
      co_return false;
    }
    t = std::move(*next);
  }
  out += r.after;
  co_return co_await to.send(out);
}

awaitable<> send_long(std::unique_ptr<long_reply> r, http::body_stream& to) {
  const bool whole = co_await send_parts(*r, to);
  if (!whole) to.fail();
}

}  // namespace

awaitable<handled> reply_with_tasks(call& c, const task_form& how, list_frame frame,
                                    std::vector<std::string> ids, std::vector<task_ptr> first, absent a) {
  const std::size_t count = ids.size();
  task_source source(c, std::move(ids), std::move(first), a);
  const showing with(now(), c.in.settings.server.tasks_platform);
  const auto links_until = steady_clock::now() + fresh_links::longest_wait;  // for all of them together
  std::string body = std::move(frame.before);
  http::reply out;
  for (bool is_first = true;; is_first = false) {
    task_ptr t = source.next_at_hand();
    if (!t) {
      auto next = co_await source.next();
      if (!next) co_return std::unexpected(std::move(next.error()));
      t = std::move(*next);
    }
    if (!t) break;
    if (fresh_links::needed(*t)) {
      source.begin_links();
      t = co_await c.in.links.of(std::move(t), links_until);
    }
    if (const std::size_t bytes = text_of_job(*t);
        body.size() + bytes <= whole_bytes && bytes <= large_task) {
      if (!is_first) body += ',';
      if (auto shown = c.in.rendered.append(body, how, *t, with); !shown)
        co_return std::unexpected(std::move(shown.error()));
      // The others are of about the same size.
      if (is_first) body.reserve(std::min(whole_bytes, (body.size() + 64) * count));
      continue;
    }
    auto rest = std::make_unique<long_reply>(long_reply{std::move(source), how, with, std::move(body),
                                                        is_first, std::move(t), std::move(frame.after),
                                                        std::string(c.http.id), c.in});
    auto send = [owned = std::move(rest)](http::body_stream& to) mutable {
      return send_long(std::move(owned), to);
    };
    out.stream = std::move(send);
    co_return out;
  }
  out.body = std::move(body);
  out.body += frame.after;
  co_return out;
}

}  // namespace relay::handlers
