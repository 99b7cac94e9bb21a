#pragma once

// Which sends of a create were refused, and which may not have got their response: what tells the retry of a
// refused send from the retry of an equal job that was accepted (rule M12). In memory only: after a restart
// the older job is the answer. Pure. Bounded in bytes.

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/lru.hpp"
#include "common/engine/idempotency.hpp"

namespace relay {

/// Only creates of SDKs that count their retries mean something here.
class sent_creates {
 public:
  /// A send of this request was refused with 503 or 429, and nothing was recorded.
  void refused(std::int64_t owner, const idempotency_record& r, timestamp now);
  /// A job was recorded for a send of this request; its response is not written yet.
  void recorded(std::int64_t owner, const idempotency_record& r, timestamp now);
  /// It was written whole.
  void responded(std::int64_t owner, const idempotency_record& r);

  /// True, once for each refusal: this is the retry of a send that was refused, and no equal job may be
  /// waiting for a retry of its own.
  bool is_retry_of_refused(std::int64_t owner, const idempotency_record& r);

 private:
  struct send {
    int retries = 0;
    timestamp at;
  };
  using sends = std::vector<send>;
  static constexpr std::size_t max_bytes = 4 * 1024 * 1024;  // of each
  static void add(lru<sends>& to, std::int64_t owner, const idempotency_record& r, timestamp now);
  static void replace(lru<sends>& in, const std::string& key, sends s);

  lru<sends> refused_{max_bytes};
  lru<sends> without_response_{max_bytes};
};

}  // namespace relay
