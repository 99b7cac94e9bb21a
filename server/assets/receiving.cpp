#include "server/assets/receiving.hpp"

#include "common/base/files_in_json.hpp"
#include "common/base/multipart.hpp"

namespace relay {
namespace {

// The bytes of the file as they are.
class plain_file {
 public:
  explicit plain_file(file_output& out) : out_(out) {}

  result<void> feed(std::string_view part) {
    if (!begun_) {
      if (auto begun = out_.begin(); !begun) return begun;
      begun_ = true;
    }
    return out_.write(part);
  }
  static std::size_t memory() { return 0; }
  result<std::string> finish() {
    if (!begun_) return fail(errc::invalid_request, "body: is empty; it should be the bytes of a file");
    return out_.end();
  }

 private:
  file_output& out_;
  bool begun_ = false;
};

// `Parser` has feed() and finish(), which run on the file thread.
template <class Parser>
class parsing_sink final : public file_sink {
 public:
  template <class... Arguments>
  explicit parsing_sink(std::shared_ptr<request_files> files, Arguments&&... arguments)
      : file_sink(std::move(files)), parser_(std::forward<Arguments>(arguments)...) {}

  awaitable<result<void>> take(std::string_view part) override {
    // What the part may become.
    auto room = files_->reserve(static_cast<std::int64_t>(part.size()));
    if (!room) co_return room;
    const auto work = [this, part] { return parser_.feed(part); };
    auto fed = co_await files_->run(work);
    files_->settle();
    co_return fed;
  }
  std::size_t memory() const override { return parser_.memory(); }
  awaitable<result<std::string>> finish() override {
    const auto work = [this] { return parser_.finish(); };
    co_return co_await files_->run(work);
  }

 private:
  Parser parser_;
};

}  // namespace

std::shared_ptr<file_sink> json_sink(std::shared_ptr<request_files> files, std::size_t most_json) {
  files_in_json_limits limits;
  limits.json_bytes = most_json;
  request_files& out = *files;
  return std::make_shared<parsing_sink<files_in_json>>(std::move(files), out, limits);
}

std::shared_ptr<file_sink> multipart_sink(std::shared_ptr<request_files> files, std::string_view boundary) {
  request_files& out = *files;
  return std::make_shared<parsing_sink<multipart_file>>(std::move(files), boundary, out);
}

std::shared_ptr<file_sink> plain_sink(std::shared_ptr<request_files> files) {
  request_files& out = *files;
  return std::make_shared<parsing_sink<plain_file>>(std::move(files), out);
}

}  // namespace relay
