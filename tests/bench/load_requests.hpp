#pragma once

// The requests of a run, in memory as the bytes that are sent. One thread.
//
// The file has one request a line: METHOD TARGET [BODY]. BODY is the rest of the line, or @FILE.

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace relay::bench {

class request_list {
 public:
  struct options {
    std::string file;
    std::string host;
    std::vector<std::string> headers;  // "Name: value"
    bool random = false;               // else in turn
    std::uint64_t seed = 1;
  };

  /// Throws std::runtime_error that says what is wrong with the file.
  explicit request_list(const options& o) : random_(o.random), random_state_(o.seed * 2 + 1) {
    std::ifstream in(o.file);
    if (!in) throw std::runtime_error(o.file + " cannot be read.");
    std::string line;
    while (std::getline(in, line))
      if (!line.empty()) add(line, o);
    if (begins_.empty()) throw std::runtime_error(o.file + " has no requests.");
    begins_.push_back(bytes_.size());
  }

  std::string_view next() {
    const auto count = begins_.size() - 1;
    const auto i = random_ ? number() % count : turn_++ % count;
    return std::string_view(bytes_).substr(begins_[i], begins_[i + 1] - begins_[i]);
  }

 private:
  void add(std::string_view line, const options& o) {
    const auto method_end = line.find(' ');
    if (method_end == line.npos || method_end == 0 || line[method_end + 1] != '/')
      throw std::runtime_error("A line must be METHOD TARGET [BODY]: " + std::string(line.substr(0, 100)));
    const auto method = line.substr(0, method_end);
    if (method == "HEAD") throw std::runtime_error("HEAD is not supported: its responses have no body.");
    const auto target_end = std::min(line.find(' ', method_end + 1), line.size());
    const auto rest = target_end < line.size() ? line.substr(target_end + 1) : std::string_view{};
    const auto body = rest.starts_with('@') ? content_of(std::string(rest.substr(1))) : std::string(rest);
    begins_.push_back(bytes_.size());
    bytes_.append(line.substr(0, target_end)).append(" HTTP/1.1\r\nHost: ").append(o.host).append("\r\n");
    for (const auto& header : o.headers) bytes_.append(header).append("\r\n");
    if (!body.empty()) bytes_.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    bytes_.append("\r\n").append(body);
  }

  static std::string content_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw std::runtime_error(file + " cannot be read.");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  // xorshift64*: the same sequence for the same seed, everywhere.
  std::uint64_t number() {
    random_state_ ^= random_state_ >> 12;
    random_state_ ^= random_state_ << 25;
    random_state_ ^= random_state_ >> 27;
    return (random_state_ * 0x2545F4914F6CDD1DULL) >> 16;
  }

  const bool random_;
  std::uint64_t random_state_;
  std::size_t turn_ = 0;
  std::string bytes_;
  std::vector<std::size_t> begins_;  // and the end of the last
};

}  // namespace relay::bench
