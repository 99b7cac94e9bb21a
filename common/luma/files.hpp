#pragma once

// Where in a request its files stand: pictures and videos, by address or as base64. Pure.

#include "common/luma/validation.hpp"

namespace relay::luma {

/// In the order of the table of actions. The request is valid.
std::vector<file_place> files_in(const action& a, json::object& request, const field_names& names);

/// Bytes of those that are there as base64. The request need not be valid.
std::size_t bytes_of_files(const action& a, const json::object& request);

}  // namespace relay::luma
