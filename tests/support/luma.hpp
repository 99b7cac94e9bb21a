#pragma once

// Short ways to tasks and forms of the Luma family.

#include "common/luma/actions.hpp"
#include "common/luma/dialects.hpp"
#include "common/luma/protocol_official.hpp"
#include "common/luma/protocol_station.hpp"

namespace relay::test {

/// A task as the official API creates one.
inline task luma_task(const relay::action& a = luma::actions::generations) {
  task t;
  t.action = &a;
  t.dialect = &luma::dialects::dream_machine;
  return t;
}

/// What a form shows, as JSON.
inline json::object shown(const task_form& how, const task& t, timestamp now = {}) {
  return parse_lenient(how.render(t, now).value()).value().as_object();
}

inline result<new_task> parse_create(const dialect& d, const json::value& body, const relay::action& a,
                                     std::string_view subject = {}) {
  return d.parse_create(body, a, subject);
}

}  // namespace relay::test
