#pragma once

// A body with files in it, on its way to the folder of assets. Loop thread.

#include <memory>

#include "server/assets/assets.hpp"
#include "server/http/message.hpp"

namespace relay {

/// The sink of a body that may have files in it.
class file_sink : public http::body_sink {
 public:
  explicit file_sink(std::shared_ptr<request_files> files) : files_(std::move(files)) {}
  const std::shared_ptr<request_files>& files() const { return files_; }

 protected:
  const std::shared_ptr<request_files> files_;
};

/// JSON, which stays in memory without the files in it (files_in_json): what is left may have `most_json`
/// bytes.
std::shared_ptr<file_sink> json_sink(std::shared_ptr<request_files> files, std::size_t most_json);
/// multipart/form-data with one file; its text is what is left.
std::shared_ptr<file_sink> multipart_sink(std::shared_ptr<request_files> files, std::string_view boundary);
/// A file and nothing else; its text is what is left.
std::shared_ptr<file_sink> plain_sink(std::shared_ptr<request_files> files);

/// The files that a request's body had in it; null: it went into memory.
inline std::shared_ptr<request_files> files_of(const http::request& r) {
  return r.sink ? static_cast<const file_sink&>(*r.sink).files() : nullptr;
}

}  // namespace relay
