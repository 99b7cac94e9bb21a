#pragma once

// What a client can ask Luma for, as one table: a new kind of job is a row here, its rules in validation.cpp,
// and a route. Facts: docs.lumalabs.ai and the newest official SDKs.

#include <array>
#include <span>
#include <string_view>

#include "common/base/json.hpp"
#include "common/base/problems.hpp"
#include "common/engine/dialect.hpp"
#include "common/engine/protocol.hpp"
#include "common/engine/task.hpp"

namespace relay::luma {

/// What the client called the fields that its dialect names otherwise; used in `loc` only.
struct field_names {
  std::string_view prompt = "prompt";
  std::string_view frame0_url;  // empty: keyframes.frame0.url
  std::string_view frame1_url;
};

enum class shape : std::uint8_t {
  text,
  flag,  // also as text and 0 or 1, as pydantic reads booleans
  whole,
  number,
  word,        // one of `words`
  any,         // known here; the action's own check reads it
  frames,      // {"frame0", "frame1"}: an image each, or a generation
  file,        // {"url"}
  picture,     // {"url", "weight"}
  pictures,    // a list of them
  identities,  // {"identity0": {"images": ["url"]}}
};

/// A field that is checked. Fields without a rule pass, but for those that would be lost in silence: see
/// validate().
struct field_rule {
  std::string_view name;
  shape is = shape::text;
  bool required = false;
  std::string_view alias{};  // what some clients call it; renamed when a job comes in
  std::span<const std::string_view> words{};
};

/// A member that the echo of a request always has, and its value when the client sent none.
struct echo_field {
  enum class otherwise : std::uint8_t { null, no, wide };
  std::string_view name;
  otherwise value = otherwise::null;
};

/// Where an id of ours may stand in a stored request: `parent.child.id` when that object's `type` is
/// "generation", or the top-level member `id`, which came in the path.
struct reference_place {
  std::string_view parent;  // empty: top level
  std::string_view child;
};

struct action : relay::action {
  std::string_view path;      // of the create, below /dream-machine/v1; "{id}": the generation it builds on
  std::string_view envelope;  // the word for `action` in the envelope
  std::string_view generation_type;  // the top-level word
  std::string_view request_type;     // the word inside the echoed request
  std::span<const field_rule> fields;
  std::string_view pictures_go;  // into which fields; empty: it takes none
  /// Rules over several fields; null: none.
  void (*check)(const json::object& request, const field_names& names, problems& out);
  std::span<const reference_place> references;
  std::span<const echo_field> echo;
  /// An upstream's echo tells two such jobs apart. False: a lost one is found by its marker only.
  bool echo_identifies = true;
  bool previews = true;       // shows assets before it is completed
  bool default_model = true;  // is sent with the configured model when the client named none
  bool type_is_sent = false;  // the upstream wants `generation_type`, which some clients leave out
  /// A station's request for it; null: stations do not offer it.
  outgoing (*for_station)(json::object request) = nullptr;
};

namespace actions {
extern const action generations;  // POST /generations: video, the form used by clients before SDK 1.11
extern const action video;
extern const action image;
extern const action image_reframe;
extern const action video_reframe;
extern const action video_modify;
extern const action upscale;
extern const action audio;
}  // namespace actions

/// The row of a task or of a route of this family.
inline const action& row_of(const relay::action& a) {
  return static_cast<const action&>(a);
}
inline const action& row_of(const task& t) {
  return row_of(*t.action);
}

/// The object in which an id of ours stands at this place; null: none does.
json::object* reference_at(json::object& request, const reference_place& place);
/// The ids in a request, in the order of the table.
std::vector<reference> references_in(const action& a, const json::object& request);

}  // namespace relay::luma
