#pragma once

// What an operator is told of unasked: which troubles hold, when one is told, told again, and told to be
// over. Pure: the caller says what holds now.

#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.hpp"

namespace relay {

/// A trouble that holds now. Name and subject make it one with that of the last time.
struct condition {
  std::string name;           // "key_refused"
  std::string subject;        // "luma/second"; empty: the relay itself
  std::string text;           // a sentence for people
  milliseconds waits_for{0};  // it is told when it has held for so long

  friend bool operator==(const condition&, const condition&) = default;
};

/// A line of a message.
struct alert {
  enum class what : std::uint8_t { firing, still_firing, resolved } state = what::firing;
  std::string name, subject, text;
  timestamp since;
  timestamp until;  // resolved: when it was over

  friend bool operator==(const alert&, const alert&) = default;
};
std::string_view name_of(alert::what w);

class alert_book {
 public:
  struct times {
    milliseconds group{10'000};       // what begins or ends within this time is one message
    milliseconds repeat{14'400'000};  // what still holds is told again after this
    milliseconds calm{60'000};        // it is over when it has not held for so long
  };
  explicit alert_book(times t) : times_(t) {}

  /// What is to be sent now; empty: nothing. At each call all that holds is given.
  std::vector<alert> observe(const std::vector<condition>& all, timestamp now);

 private:
  struct entry {
    condition what;
    timestamp since;
    timestamp last_held;
    timestamp told_at;  // never: it was not
    bool is_told_over = false;
  };
  entry& entry_of(const condition& c, timestamp now);
  bool is_new(const entry& e, timestamp now) const;
  bool is_over(const entry& e, timestamp now) const;

  const times times_;
  std::vector<entry> known_;
  timestamp news_since_;  // of the oldest news that was not sent yet; never: there are none
};

}  // namespace relay
