#include "common/luma/word_lists.hpp"

namespace relay::luma {
namespace {

// docs.lumalabs.ai, changelog of 2025-04: concepts.
constexpr std::string_view concept_words[] = {
    "truck_left",  "pan_right",  "pedestal_down",  "low_angle",   "pedestal_up",
    "selfie",      "pan_left",   "roll_right",     "zoom_in",     "over_the_shoulder",
    "orbit_right", "orbit_left", "static",         "tiny_planet", "high_angle",
    "bolt_cam",    "dolly_zoom", "overhead",       "zoom_out",    "handheld",
    "roll_left",   "pov",        "aerial_drone",   "push_in",     "crane_down",
    "truck_right", "tilt_down",  "elevator_doors", "tilt_up",     "ground_level",
    "pull_out",    "aerial",     "crane_up",       "eye_level"};

// The older API has none of its own left; these are the moves among the concepts, as phrases of a prompt.
constexpr std::string_view motion_words[] = {
    "camera static",      "camera orbit left",  "camera orbit right",  "camera pan left",
    "camera pan right",   "camera tilt up",     "camera tilt down",    "camera zoom in",
    "camera zoom out",    "camera push in",     "camera pull out",     "camera crane up",
    "camera crane down",  "camera roll left",   "camera roll right",   "camera truck left",
    "camera truck right", "camera pedestal up", "camera pedestal down"};

}  // namespace

constinit const word_list word_lists::concepts = {"/generations/concepts/list", concept_words};
constinit const word_list word_lists::camera_motions = {"/generations/camera_motion/list", motion_words};

}  // namespace relay::luma
