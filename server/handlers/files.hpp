#pragma once

// The files of a request: what a client sends as bytes gets an address, which takes its place.

#include <memory>
#include <span>

#include "common/engine/dialect.hpp"
#include "server/assets/assets.hpp"
#include "server/route.hpp"

namespace relay::handlers {

/// JSON that may have files in it: they are written to disk as they arrive.
result<http::body_plan> receive_create(const body_to_come& b);

/// True: some of these are bytes, or were uploaded here.
bool any_to_take(const call& c, std::span<const file_place> places);

/// Puts addresses in place of bytes; they work once the files are kept. Null: there was none of either.
/// Errors: invalid_fields, naming each place: it is no file, or not of the right type, or the relay takes
/// none, or there is a file in another place; body_too_large, assets_full, internal, overloaded.
awaitable<result<std::shared_ptr<request_files>>> take_files(call& c, std::span<const file_place> places);

/// A file as the text that a client sent for it, or that stands for it in the body.
struct taken_file {
  const incoming_file* file = nullptr;  // null: see `problem`
  std::string problem{};
};
/// Errors: assets_full, body_too_large, internal, overloaded.
awaitable<result<taken_file>> take_file(request_files& files, std::string_view text);

/// "Input should be …": the types that are taken.
std::string_view taken_types();

}  // namespace relay::handlers
