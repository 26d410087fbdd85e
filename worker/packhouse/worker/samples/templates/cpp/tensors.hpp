// Inputs for a session: their shapes, generated values. Outputs of a session: as lines of text.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "candidate.hpp"

using Shape = std::vector<int64_t>;
using Shapes = std::map<std::string, Shape>;
using Inputs = std::map<std::string, Ort::Value>;

inline int64_t elements(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size != 0 && count > (int64_t{1} << 40) / size) return int64_t{1} << 40;
    count *= size;
  }
  return count;
}

// A tensor with a copy of the values, row by row; for std::string use texts().
template <class T>
Ort::Value tensor(const std::vector<T>& values, const Shape& shape) {
  if (static_cast<int64_t>(values.size()) != elements(shape)) throw Mistake("A tensor has not as many values as its shape says.");
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value made = Ort::Value::CreateTensor<T>(allocator, shape.data(), shape.size());
  std::copy(values.begin(), values.end(), made.GetTensorMutableData<T>());
  return made;
}

inline Ort::Value texts(const std::vector<std::string>& values, const Shape& shape) {
  if (static_cast<int64_t>(values.size()) != elements(shape)) throw Mistake("A tensor has not as many values as its shape says.");
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value made = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  std::vector<const char*> pointers;
  for (const std::string& value : values) pointers.push_back(value.c_str());
  made.FillStringTensor(pointers.data(), pointers.size());
  return made;
}

inline std::string shown(const Shape& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : ",") + (size < 0 ? std::string("?") : std::to_string(size));
  return text;
}

// NAME=1,3,224,224; NAME= is a scalar.
inline std::pair<std::string, Shape> parsed_shape(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  const std::string sizes = equals == std::string::npos ? "?" : text.substr(equals + 1);
  Shape shape;
  for (std::size_t at = 0; at < sizes.size();) {
    const std::size_t end = std::min(sizes.find(',', at), sizes.size());
    const std::string size = sizes.substr(at, end - at);
    const bool number = !size.empty() && size.size() < 10 && size.find_first_not_of("0123456789") == std::string::npos;
    if (!number || end + 1 == sizes.size()) throw Mistake("--shape " + text + " is not of the form NAME=1,3,224,224.");
    shape.push_back(std::stoll(size));
    at = end + 1;
  }
  return {text.substr(0, equals), shape};
}

inline bool fits(const Shape& shape, const Shape& own) {
  if (shape.size() != own.size()) return false;
  for (std::size_t at = 0; at < own.size(); ++at) {
    if (own[at] >= 0 && own[at] != shape[at]) return false;
  }
  return true;
}

inline Shape shape_of(const std::string& name, const Shape& own, const Shapes& asked, const Shapes& known) {
  Shape shape = own;
  for (int64_t& size : shape) size = size < 0 ? 1 : size;
  if (const auto found = asked.find(name); found != asked.end()) {
    if (!own.empty() && !fits(found->second, own)) {
      throw Mistake("The input " + name + " is of shape " + shown(own) + ": it cannot be " + shown(found->second) + ".");
    }
    shape = found->second;
  } else if (const auto good = known.find(name); good != known.end() && (own.empty() || fits(good->second, own))) {
    shape = good->second;
  }
  if (elements(shape) > (int64_t{1} << 30)) throw Mistake("The input " + name + " would be too large: choose a smaller --shape.");
  return shape;
}

template <class T, class Value>
Ort::Value filled(const Shape& shape, Value value) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value made = Ort::Value::CreateTensor<T>(allocator, shape.data(), shape.size());
  T* out = made.GetTensorMutableData<T>();
  for (int64_t at = 0; at < elements(shape); ++at) out[at] = static_cast<T>(value(at));
  return made;
}

// Values that look like nothing in particular, the same in every language and at every run.
inline Ort::Value generated(const std::string& name, ONNXTensorElementDataType element, const Shape& shape) {
  const auto real = [](int64_t at) { return static_cast<double>((at * 7 + 3) % 17) / 17; };
  const auto narrow = [&](int64_t at) { return static_cast<float>(real(at)); };
  const auto whole = [](int64_t at) { return at % 2; };
  switch (element) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return filled<float>(shape, real);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE: return filled<double>(shape, real);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: return filled<Ort::Float16_t>(shape, narrow);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16: return filled<Ort::BFloat16_t>(shape, narrow);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8: return filled<int8_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16: return filled<int16_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: return filled<int32_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return filled<int64_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return filled<uint8_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16: return filled<uint16_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32: return filled<uint32_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64: return filled<uint64_t>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL: return filled<bool>(shape, whole);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING:
      return texts(std::vector<std::string>(static_cast<std::size_t>(elements(shape)), "text"), shape);
    default: throw Mistake("The input " + name + " is of a type that is not generated: return it from your_inputs.");
  }
}

// Those of the shapes that are for an input of these names: the others are for other components.
inline Shapes of_inputs(const std::vector<std::string>& names, const Shapes& shapes) {
  Shapes found;
  for (const std::string& name : names) {
    if (const auto shape = shapes.find(name); shape != shapes.end()) found.insert(*shape);
  }
  return found;
}

// A value for every input, in the order of `names`: one's own where there is one, else a generated one.
inline std::vector<Ort::Value> inputs_of(const Ort::Session& session, const std::vector<std::string>& names, Inputs own,
                                         const Shapes& asked, const Shapes& known) {
  const auto must_exist = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      throw Mistake("The model has no input " + name + ": its inputs are " + joined(names) + ".");
    }
  };
  for (const auto& each : own) must_exist(each.first);
  for (const auto& each : asked) must_exist(each.first);
  std::vector<Ort::Value> values;
  for (std::size_t at = 0; at < names.size(); ++at) {
    if (const auto given = own.find(names[at]); given != own.end()) {
      values.push_back(std::move(given->second));
      continue;
    }
    Ort::TypeInfo type = session.GetInputTypeInfo(at);
    if (type.GetONNXType() == ONNX_TYPE_OPTIONAL) {
      Ort::TypeInfo inner = type.GetOptionalTypeInfo().GetOptionalElementType();
      type = std::move(inner);
    }
    if (type.GetONNXType() != ONNX_TYPE_TENSOR) {
      throw Mistake("The input " + names[at] + " is no tensor and is not generated: return it from your_inputs.");
    }
    const auto info = type.GetTensorTypeAndShapeInfo();
    values.push_back(generated(names[at], info.GetElementType(), shape_of(names[at], info.GetShape(), asked, known)));
  }
  return values;
}

inline std::string number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char text[64];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

inline std::string quoted(const std::string& value) {
  std::string text = "\"";
  for (const char each : value) {
    const unsigned char byte = static_cast<unsigned char>(each);
    if (byte < 0x20 || byte == 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      text += escaped;
    } else {
      if (each == '"' || each == '\\') text += '\\';
      text += each;
    }
  }
  return text + "\"";
}

inline std::string shown_name(std::string name) {
  for (char& each : name) {
    if (static_cast<unsigned char>(each) < 0x20 || each == 0x7F) each = '?';
  }
  return name;
}

inline std::string element_name(ONNXTensorElementDataType element) {
  static const std::map<ONNXTensorElementDataType, std::string> names = {
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, "float"},       {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, "double"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, "float16"},   {ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, "bfloat16"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, "int8"},         {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, "int16"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, "int32"},       {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, "int64"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, "uint8"},       {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, "uint16"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, "uint32"},     {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, "uint64"},
      {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, "bool"},         {ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, "string"}};
  const auto found = names.find(element);
  return found == names.end() ? "unknown" : found->second;
}

// The element of a tensor as text; an empty one where its type is not shown.
inline std::string shown_element(const Ort::Value& value, ONNXTensorElementDataType element, std::size_t at) {
  switch (element) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT: return number(value.GetTensorData<float>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE: return number(value.GetTensorData<double>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16: return number(value.GetTensorData<Ort::Float16_t>()[at].ToFloat());
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16: return number(value.GetTensorData<Ort::BFloat16_t>()[at].ToFloat());
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8: return std::to_string(value.GetTensorData<int8_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16: return std::to_string(value.GetTensorData<int16_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32: return std::to_string(value.GetTensorData<int32_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: return std::to_string(value.GetTensorData<int64_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return std::to_string(value.GetTensorData<uint8_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16: return std::to_string(value.GetTensorData<uint16_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32: return std::to_string(value.GetTensorData<uint32_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64: return std::to_string(value.GetTensorData<uint64_t>()[at]);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL: return value.GetTensorData<bool>()[at] ? "true" : "false";
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING: return quoted(value.GetStringTensorElement(at));
    default: return "";
  }
}

// One line for a tensor, one for each member of a sequence or a map.
inline void print_value(std::ostream& out, const std::string& name, const Ort::Value& value) {
  constexpr int64_t most = 16;
  if (!value || !value.HasValue()) {
    out << shown_name(name) << ": none\n";
    return;
  }
  Ort::AllocatorWithDefaultOptions allocator;
  const ONNXType kind = value.GetTypeInfo().GetONNXType();
  if (kind == ONNX_TYPE_SEQUENCE) {
    for (std::size_t at = 0; at < value.GetCount(); ++at) {
      print_value(out, name + "[" + std::to_string(at) + "]", value.GetValue(static_cast<int>(at), allocator));
    }
  } else if (kind == ONNX_TYPE_MAP) {
    const Ort::Value keys = value.GetValue(0, allocator), values = value.GetValue(1, allocator);
    const auto keys_info = keys.GetTensorTypeAndShapeInfo(), info = values.GetTensorTypeAndShapeInfo();
    for (std::size_t at = 0; at < keys_info.GetElementCount(); ++at) {
      const bool text = keys_info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING;
      const std::string key = text ? keys.GetStringTensorElement(at) : shown_element(keys, keys_info.GetElementType(), at);
      out << shown_name(name + "[" + key + "]") << ": " << element_name(info.GetElementType()) << "[] "
          << shown_element(values, info.GetElementType(), at) << "\n";
    }
  } else if (value.IsTensor()) {
    const auto info = value.GetTensorTypeAndShapeInfo();
    const Shape shape = info.GetShape();
    out << shown_name(name) << ": " << element_name(info.GetElementType()) << "[" << shown(shape) << "]";
    const int64_t count = elements(shape);
    for (int64_t at = 0; at < std::min(count, most); ++at) {
      const std::string text = shown_element(value, info.GetElementType(), static_cast<std::size_t>(at));
      if (!text.empty()) out << " " << text;
    }
    out << (count > most ? " \xE2\x80\xA6\n" : "\n");
  } else {
    say("The output " + shown_name(name) + " is of a kind that is not shown.");
  }
}
