#pragma once

// What came of one HTTP request to a peer, as a plain value: made by server/upstream, judged by outcome.hpp.

#include <string>

namespace relay {

struct exchange {
  bool sent_any = false;        // some byte of the request may have reached the peer
  bool responded = false;       // a whole response came
  int status = 0;               // HTTP status, when one came
  int retry_after_seconds = 0;  // from the response; 0: none
  std::string body;             // empty when a body_sink has taken it
  bool no_room = false;         // all our connections to it were in use: nothing was sent
  bool timed_out = false;       // it did not come, or did not end, in time
  bool too_large = false;       // its body is longer than allowed
  std::string problem;          // for the operator: at which step it ended, and why; empty when one came
};

}  // namespace relay
