#pragma once

// The dialects that clients of Luma speak, and the forms a Luma task is shown in. A form is a superset: each
// known client finds in it what it reads.

#include "common/engine/dialect.hpp"

namespace relay::luma {

namespace forms {
extern const task_form official;         // official and web-app fields together
extern const task_form created;          // official fields only: the response to a create
extern const task_form web_app;          // the stations' /luma shape
extern const task_form web_app_created;  // the same, as the response to a create
extern const task_form item;             // an item of the envelope's `data`
extern const task_form download_link;    // {"url": …}; an error until the video is there
}  // namespace forms

namespace dialects {
extern const dialect dream_machine;  // /dream-machine/v1: the official API
extern const dialect web_app;        // /luma/generations: the web app's, as stations serve it
extern const dialect tasks;          // /luma/tasks: the code/message/data envelope
}  // namespace dialects

/// The error body of the official API, with what OpenAI-style clients read beside it.
json::object render_official_error(const error& e);
/// The same inside the envelope.
json::object render_envelope_error(const error& e);

/// A form whose bytes depend on the task alone.
bool never_by_time(const task& t);

}  // namespace relay::luma
