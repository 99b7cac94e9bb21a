#include "common/base/error.hpp"

#include <utility>

namespace relay {

const errc_info& info(errc code) {
  // clang-format off
  static constexpr errc_info table[] = {
      {"invalid_request", 400},
      {"invalid_request", 422},
      {"invalid_api_key", 401},
      {"insufficient_quota", 402},
      {"forbidden", 403},
      {"not_found", 404},
      {"task_not_exist", 404},
      {"method_not_allowed", 405},
      {"request_timeout", 408},
      {"conflict", 409},
      {"body_too_large", 413},
      {"target_too_long", 414},
      {"unsupported_media_type", 415},
      {"expectation_failed", 417},
      {"rate_limit_exceeded", 429},
      {"header_too_large", 431},
      {"upstream_rejected", 400},
      {"internal_error", 500},
      {"upstream_unavailable", 503},
      {"overloaded", 503},
      {"storage_unavailable", 503},
      {"storage_full", 503},
      {"assets_full", 507},
      {"http_version_not_supported", 505},
  };
  // clang-format on
  static_assert(std::size(table) == static_cast<std::size_t>(errc::version_not_supported) + 1);
  return table[static_cast<std::size_t>(code)];
}

std::unexpected<error> fail(errc code, std::string message) {
  error e;
  e.code = code;
  e.log.text = message;
  e.message.text = std::move(message);
  return std::unexpected(std::move(e));
}

}  // namespace relay
