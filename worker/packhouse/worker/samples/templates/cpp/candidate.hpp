// The folder of a candidate: which model is in it, and with what settings to open it.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "json.hpp"
#include "npz.hpp"

namespace fs = std::filesystem;

// Something that a person can set right, in one sentence.
struct Mistake : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An ONNX model of a candidate: its only one, or one of several components.
struct Model {
  fs::path path;
  std::string relative;  // to the candidate's folder
  Json config;           // the engine's description of it
};

// Of what an error says: ONNX Runtime's may run over many lines.
inline std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find_first_of("\r\n"));
}

inline void say(const std::string& text) { std::cerr << text << std::endl; }

// What a JSON file holds; a null where there is no such file.
inline Json read_json(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return Json();
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  try {
    return Json::parse(text);
  } catch (const std::runtime_error& error) {
    throw Mistake(file.u8string() + " could not be read: " + error.what());
  }
}

// The candidate's folder: the one that was given, else the best one's, from the program's place upwards, then from the
// current directory upwards.
inline fs::path find_candidate(const std::optional<std::string>& given, const std::string& best, const char* program) {
  std::error_code failed;
  if (given) {
    if (!fs::is_directory(*given, failed)) {
      throw Mistake(*given + " is no folder: name the folder of a candidate, such as " + best + ".");
    }
    return fs::path(*given);
  }
  fs::path own = fs::read_symlink("/proc/self/exe", failed);
  if (failed) own = fs::absolute(program, failed);
  for (fs::path above : {own.parent_path(), fs::current_path()}) {
    while (true) {
      const fs::path folder = above / fs::u8path(best);
      if (fs::is_regular_file(folder / "model_info.json", failed)) return folder;
      if (!above.has_relative_path()) break;
      above = above.parent_path();
    }
  }
  throw Mistake(best + " is not to be found from here upwards: name the folder of a candidate.");
}

inline Mistake no_model(const fs::path& folder) {
  return Mistake(folder.u8string() + " holds no ONNX model: name the folder of a candidate.");
}

// The file's place in the folder: the end of the model's path, which counts from the root of the package.
inline std::string main_file(const fs::path& folder, const Json& config) {
  std::vector<std::string> parts;
  for (const fs::path& part : fs::u8path(config["model_path"].text)) parts.push_back(part.u8string());
  const std::string inner = config["onnx_file_name"].text.empty() ? "model.onnx" : config["onnx_file_name"].text;
  for (std::size_t skipped = 0; skipped <= parts.size(); ++skipped) {
    fs::path end;
    for (std::size_t at = skipped; at < parts.size(); ++at) end /= fs::u8path(parts[at]);
    for (const fs::path& relative : {end, end / fs::u8path(inner)}) {
      const bool leaves = std::find(relative.begin(), relative.end(), fs::path("..")) != relative.end();
      std::error_code failed;
      if (!leaves && !relative.is_absolute() && fs::is_regular_file(folder / relative, failed)) {
        return relative.generic_u8string();
      }
    }
  }
  throw no_model(folder);
}

// Adds the model of a description, or each ONNX model that it is made of.
inline void add_models(std::vector<Model>& models, const fs::path& folder, const Json& described) {
  const Json& config = described["config"];
  const Json& parts = config["model_components"];
  for (const Json& part : parts.items) {
    std::string type = part["type"].text;
    for (char& letter : type) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    if (type == "onnxmodel" || type == "compositemodel") add_models(models, folder, part);
  }
  if (parts.items.empty()) {
    const std::string relative = main_file(folder, config);
    models.push_back({folder / fs::u8path(relative), relative, config});
  }
}

// The ONNX models of a candidate.
inline std::vector<Model> model_files(const fs::path& folder) {
  const Json info = read_json(folder / "model_info.json");
  std::vector<Model> models;
  add_models(models, folder, info["model_config"]);
  if (models.empty()) throw no_model(folder);
  return models;
}

// The arrays of the .npz file beside the model that its description names under this key; none without it.
inline NumpyArrays arrays_of(const Model& model, const std::string& key) {
  const std::string name = model.config[key].text;
  if (name.empty()) return {};
  const fs::path file = model.path.parent_path() / fs::u8path(name);
  try {
    return read_npz(file);
  } catch (const std::exception& error) {
    throw Mistake(file.u8string() + " could not be read: " + error.what());
  }
}

inline std::optional<int> as_int(const Json& value) {
  if (value.is(Json::Kind::boolean)) return value.truth ? 1 : 0;
  if (!value.is(Json::Kind::number)) return std::nullopt;
  int number = 0;
  const char* const end = value.text.data() + value.text.size();
  const auto [stopped, failure] = std::from_chars(value.text.data(), end, number);
  return failure == std::errc() && stopped == end ? std::optional<int>(number) : std::nullopt;
}

// Whether an entry of the session's configuration makes ONNX Runtime write a file.
inline bool writes_files(const std::string& key) {
  return key.rfind("ep.context_", 0) == 0 || key.rfind("session.optimized_model_", 0) == 0 ||
         key == "session.collect_node_memory_stats_to_file";
}

// Whether the option is known and was set.
inline bool set_option(Ort::SessionOptions& options, const std::string& name, const Json& value) {
  if (name == "extra_session_config" && value.is(Json::Kind::object)) {
    for (const auto& [key, entry] : value.members) {
      if (!entry.is(Json::Kind::null) && !writes_files(key)) options.AddConfigEntry(key.c_str(), entry.as_text().c_str());
    }
    return true;
  }
  static const std::map<std::string, int> modes = {
      {"ORT_SEQUENTIAL", 0},    {"ORT_PARALLEL", 1},         {"ORT_DISABLE_ALL", 0},
      {"ORT_ENABLE_BASIC", 1},  {"ORT_ENABLE_EXTENDED", 2},  {"ORT_ENABLE_ALL", 99}};
  std::optional<int> number = as_int(value);
  if (value.is(Json::Kind::string)) {
    const auto mode = modes.find(value.text);
    if (mode != modes.end()) number = mode->second;
  }
  if (!number) return false;
  if (name == "execution_mode" && (*number == 0 || *number == 1)) {
    options.SetExecutionMode(*number == 1 ? ORT_PARALLEL : ORT_SEQUENTIAL);
  } else if (name == "graph_optimization_level") {
    // The level of its own for layouts (3) is not in every version; in those without it, all holds them.
    static const std::map<int, GraphOptimizationLevel> levels = {
        {0, ORT_DISABLE_ALL}, {1, ORT_ENABLE_BASIC}, {2, ORT_ENABLE_EXTENDED}, {3, ORT_ENABLE_ALL}, {99, ORT_ENABLE_ALL}};
    const auto level = levels.find(*number);
    if (level == levels.end()) return false;
    options.SetGraphOptimizationLevel(level->second);
  } else if (name == "intra_op_num_threads") {
    options.SetIntraOpNumThreads(*number);
  } else if (name == "inter_op_num_threads") {
    options.SetInterOpNumThreads(*number);
  } else if (name == "log_severity_level") {
    options.SetLogSeverityLevel(*number);
  } else if (name == "log_verbosity_level") {
    Ort::ThrowOnError(Ort::GetApi().SetSessionLogVerbosityLevel(options, *number));
  } else if (name == "enable_cpu_mem_arena") {
    *number ? options.EnableCpuMemArena() : options.DisableCpuMemArena();
  } else if (name == "enable_mem_pattern") {
    *number ? options.EnableMemPattern() : options.DisableMemPattern();
#if ORT_API_VERSION >= 18
  } else if (name == "use_deterministic_compute") {
    options.SetDeterministicCompute(*number != 0);
#endif
  } else {
    return false;
  }
  return true;
}

using ProviderOptions = std::unordered_map<std::string, std::string>;

// Options of a provider that has a struct of its own for them: made, filled, and released in the end.
template <class T, class Create, class Update, class Release>
std::unique_ptr<T, Release> provider_options(const ProviderOptions& own, Create create, Update update, Release release) {
  T* made = nullptr;
  Ort::ThrowOnError(create(&made));
  std::unique_ptr<T, Release> held(made, release);
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : own) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  if (!keys.empty()) Ort::ThrowOnError(update(made, keys.data(), values.data(), keys.size()));
  return held;
}

// Throws Ort::Exception where the library has the provider and cannot use it.
inline void append_provider(Ort::SessionOptions& options, const std::string& name, const ProviderOptions& own) {
  const OrtApi& api = Ort::GetApi();
  static const std::string ending = "ExecutionProvider";
  std::string kind = name;
  if (kind.size() > ending.size() && kind.compare(kind.size() - ending.size(), ending.size(), ending) == 0) {
    kind.erase(kind.size() - ending.size());
  }
  if (kind == "CUDA") {
    options.AppendExecutionProvider_CUDA_V2(*provider_options<OrtCUDAProviderOptionsV2>(
        own, api.CreateCUDAProviderOptions, api.UpdateCUDAProviderOptions, api.ReleaseCUDAProviderOptions));
  } else if (kind == "Tensorrt") {
    options.AppendExecutionProvider_TensorRT_V2(*provider_options<OrtTensorRTProviderOptionsV2>(
        own, api.CreateTensorRTProviderOptions, api.UpdateTensorRTProviderOptions, api.ReleaseTensorRTProviderOptions));
  } else if (kind == "ROCM") {
    options.AppendExecutionProvider_ROCM(*provider_options<OrtROCMProviderOptions>(
        own, api.CreateROCMProviderOptions, api.UpdateROCMProviderOptions, api.ReleaseROCMProviderOptions));
  } else if (kind == "MIGraphX") {
    OrtMIGraphXProviderOptions made{};
    const auto device = own.find("device_id");
    if (device != own.end()) made.device_id = std::atoi(device->second.c_str());
    options.AppendExecutionProvider_MIGraphX(made);
#if ORT_API_VERSION >= 18
  } else if (kind == "OpenVINO") {
    options.AppendExecutionProvider_OpenVINO_V2(own);
  } else if (kind == "VitisAI") {
    options.AppendExecutionProvider_VitisAI(own);
#endif
  } else if (kind != "CPU") {
    static const std::map<std::string, std::string> others = {{"Dml", "DML"}, {"WebGpu", "WebGPU"}, {"Azure", "AZURE"}};
    const auto other = others.find(kind);
    options.AppendExecutionProvider(other == others.end() ? kind : other->second, own);
  }
}

inline std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// Names of execution providers and their options: given as pairs, or as names with the options in a list beside them.
inline std::vector<std::pair<std::string, ProviderOptions>> asked_providers(const Json& settings) {
  const Json& asked = settings["execution_provider"];
  const Json& beside = settings["provider_options"];
  const std::vector<Json> all = asked.is(Json::Kind::string) ? std::vector<Json>{asked} : asked.items;
  std::vector<std::pair<std::string, ProviderOptions>> pairs;
  for (std::size_t at = 0; at < all.size(); ++at) {
    const bool pair = all[at].is(Json::Kind::array) && all[at].items.size() == 2;
    const Json& name = pair ? all[at].items[0] : all[at];
    const Json own = pair ? all[at].items[1] : at < beside.items.size() ? beside.items[at] : Json();
    if (!name.is(Json::Kind::string)) continue;
    pairs.emplace_back(name.text, ProviderOptions());
    for (const auto& [key, value] : own.members) {
      if (!value.is(Json::Kind::null)) pairs.back().second[key] = value.as_text();
    }
  }
  return pairs;
}

// Appends what was asked for and is there; returns the names of those.
inline std::vector<std::string> append_providers(Ort::SessionOptions& options, const Json& settings) {
  const std::vector<std::string> there = Ort::GetAvailableProviders();
  std::vector<std::string> appended;
  for (const auto& [name, own] : asked_providers(settings)) {
    if (std::find(there.begin(), there.end(), name) == there.end()) {
      say(name + " is not in this onnxruntime, which has " + joined(there) + ": going on without it.");
      continue;
    }
    try {
      append_provider(options, name, own);
      if (name != "CPUExecutionProvider") appended.push_back(name);
    } catch (const Ort::Exception& error) {
      say(name + " could not be used on this machine: going on without it. " + first_line(error));
    }
  }
  return appended;
}

inline Mistake not_loaded(const Model& model, const Ort::Exception& error) {
  return Mistake("onnxruntime could not load " + model.path.u8string() + ": " + first_line(error));
}

// A session with the settings of inference_config.json, as far as this machine has what they ask for. `extensions` is the
// library of onnxruntime-extensions, for models that have its operators.
inline Ort::Session open_session(const Ort::Env& env, const fs::path& folder, const Model& model,
                                 const std::optional<std::string>& extensions) {
  Json settings = read_json(folder / "inference_config.json");
  // A model of several components has no such file: each component's description holds its own.
  if (settings.is(Json::Kind::null)) settings = model.config["inference_settings"];
  Ort::SessionOptions options;
  for (const auto& [name, value] : settings["session_options"].members) {
    if (value.is(Json::Kind::null)) continue;
    const bool switched_off = value.is(Json::Kind::boolean) && !value.truth;
    try {
      if (!set_option(options, name, value) && !switched_off) {
        say("The session option " + name + " is not set: this program has no use for it.");
      }
    } catch (const Ort::Exception& error) {
      say("The session option " + name + " is not set: " + first_line(error));
    }
  }
  const NumpyArrays initializers = arrays_of(model, "external_initializers_file_name");
  if (!initializers.empty()) {
    std::vector<std::string> names;
    std::vector<Ort::Value> values;
    for (const auto& [name, array] : initializers) {
      names.push_back(name);
      values.push_back(array.on_own_memory());
    }
    options.AddExternalInitializers(names, values);
  }
  if (extensions) {
    options.RegisterCustomOpsLibrary(fs::path(*extensions).c_str());
  } else if (model.config["use_ort_extensions"].truth) {
    throw Mistake("This model has operators of onnxruntime-extensions: give its library with --extensions.");
  }
  Ort::SessionOptions on_cpu = options.Clone();
  const std::vector<std::string> appended = append_providers(options, settings);
  try {
    return Ort::Session(env, model.path.c_str(), options);
  } catch (const Ort::Exception& error) {
    if (appended.empty()) throw not_loaded(model, error);
    say(joined(appended) + " could not load the model: going on with CPUExecutionProvider. " + first_line(error));
  }
  try {
    return Ort::Session(env, model.path.c_str(), on_cpu);
  } catch (const Ort::Exception& error) {
    throw not_loaded(model, error);
  }
}
