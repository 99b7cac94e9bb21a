#include "server/handlers/item_list.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "server/await_store.hpp"
#include "server/clock.hpp"

namespace relay::handlers {
namespace {

constexpr std::size_t whole_bytes = 256 * 1024;  // a response up to this size has a Content-Length
constexpr std::size_t part_bytes = 64 * 1024;
constexpr std::size_t ids_at_once = 64;

struct item {
  std::string text;
  std::string id;
  std::int64_t revision = 0;
};

// The tasks one after the other, as they are wanted.
class item_source {
 public:
  item_source(const call& c, std::vector<std::string> ids, std::vector<task_ptr> first, absent a)
      : in_(c.in), owner_(c.who.id), how_(c.on.form()), time_(now()), ids_(std::move(ids)), absent_(a) {
    for (task_ptr& t : first) ready_.push_back({next_++, std::move(t)});
  }

  /// nullopt: there are no more.
  awaitable<result<std::optional<item>>> next() {
    for (;;) {
      if (!ready_.empty()) {
        const task_ptr t = std::move(ready_.front().task);
        ready_.pop_front();
        auto text = render(*t);
        if (!text) co_return std::unexpected(std::move(text.error()));
        co_return item{std::move(*text), t->id, t->revision};
      }
      if (next_ == ids_.size()) co_return std::nullopt;
      auto read = co_await read_on();
      if (!read) co_return std::unexpected(std::move(read.error()));
    }
  }
  /// One that was shown before, as it was then; an empty text: it has changed since.
  awaitable<result<std::string>> again(std::string id, std::int64_t revision) {
    const auto found = co_await find_task(in_.tasks, owner_, std::move(id));
    if (!found) co_return std::unexpected(found.error());
    if (!*found || (*found)->revision != revision) co_return std::string{};
    co_return render(**found);
  }
  /// What was read ahead is read again when it is wanted.
  void forget_what_is_ready() {
    if (ready_.empty()) return;
    next_ = ready_.front().index;
    ready_.clear();
    room_ = part_bytes;
  }

 private:
  result<std::string> render(const task& t) { return in_.rendered.get(how_, t, time_); }

  awaitable<result<void>> read_on() {
    if (task_ptr t = in_.tasks.in_memory(ids_[next_]); t && t->owner == owner_) {
      ready_.push_back({next_++, std::move(t)});
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
  const task_form& how_;
  const timestamp time_;
  std::vector<std::string> ids_;
  const absent absent_;
  std::size_t next_ = 0;  // of ids_, to be read
  std::size_t room_ = tasks_at_once;
  std::deque<ready_task> ready_;
};

// What goes out in parts: what was put together until it grew too long, and the rest.
struct long_reply {
  item_source source;
  std::string begun;
  bool is_empty;  // no item is in it yet
  item next;      // the one that made it too long
  std::string after;
  std::string request_id;
  handler_context& in;
};

// An item of several parts. What is left of it while the client reads is kept if there is room for it; else
// it is made again.
awaitable<bool> send_large(long_reply& r, item what, http::body_stream& to) {
  const std::size_t size = what.text.size();
  byte_budget::lease kept(r.in.unsent);
  const bool keeps = kept.hold(size);
  for (std::size_t sent = 0; sent < size;) {
    if (what.text.empty()) {
      auto made = co_await r.source.again(what.id, what.revision);
      if (!made || made->size() != size) co_return false;
      what.text = std::move(*made);
    }
    const std::string part = what.text.substr(sent, part_bytes);
    sent += part.size();
    if (!keeps || sent == size) std::string().swap(what.text);
    if (!co_await to.send(part)) co_return false;
  }
  co_return true;
}

awaitable<bool> send_parts(long_reply& r, http::body_stream& to) {
  r.source.forget_what_is_ready();
  std::string out = std::move(r.begun);
  for (std::optional<item> next = std::move(r.next); next;) {
    if (!std::exchange(r.is_empty, false)) out += ',';
    if (next->text.size() <= part_bytes) {
      out += next->text;
    } else {
      if (!co_await to.send(out)) co_return false;
      std::string().swap(out);
      if (!co_await send_large(r, std::move(*next), to)) co_return false;
    }
    if (out.size() >= part_bytes) {
      if (!co_await to.send(out)) co_return false;
      out.clear();
    }
    auto read = co_await r.source.next();
    if (!read) {
      r.in.log.error("request {}: the rest of the response cannot be read, the connection ends: {}",
                     r.request_id, read.error().log.text);
      co_return false;
    }
    next = std::move(*read);
  }
  out += r.after;
  co_return co_await to.send(out);
}

awaitable<> send_long(std::unique_ptr<long_reply> r, http::body_stream& to) {
  const bool whole = co_await send_parts(*r, to);
  if (!whole) to.fail();
}

}  // namespace

awaitable<handled> reply_with_tasks(call& c, list_frame frame, std::vector<std::string> ids,
                                    std::vector<task_ptr> first, absent a) {
  item_source source(c, std::move(ids), std::move(first), a);
  std::string body = std::move(frame.before);
  http::reply out;
  for (bool is_first = true;; is_first = false) {
    auto next = co_await source.next();
    if (!next) co_return std::unexpected(std::move(next.error()));
    if (!*next) break;
    if (body.size() + (*next)->text.size() > whole_bytes) {
      auto rest = std::make_unique<long_reply>(long_reply{std::move(source), std::move(body), is_first,
                                                          std::move(**next), std::move(frame.after),
                                                          std::string(c.http.id), c.in});
      auto send = [owned = std::move(rest)](http::body_stream& to) mutable {
        return send_long(std::move(owned), to);
      };
      out.stream = std::move(send);
      co_return out;
    }
    if (!is_first) body += ',';
    body += (*next)->text;
  }
  out.body = std::move(body);
  out.body += frame.after;
  co_return out;
}

}  // namespace relay::handlers
