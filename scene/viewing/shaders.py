"""Shaders that draw colors for the screen over what Blender draws."""

from __future__ import annotations

import gpu

Variables = dict[str, str]
"""Names to the types of Blender's GPU module, such as ``VEC3``."""


def make(
    name: str,
    *,
    points: Variables,
    between: Variables,
    constants: Variables,
    textures: tuple[str, ...] = (),
    vertex: str,
    fragment: str,
) -> gpu.types.GPUShader:
    """Compile a shader whose fragments are codes for the screen, sRGB, whatever is drawn into.

    Parameters
    ----------
    name : str
        Of what is passed from points to fragments, for Blender's messages.
    points, between, constants : dict
        What each point has; what goes from points to fragments, smoothly between them; what is the same for all, beside
        ``mat4 ModelViewProjectionMatrix``.
    textures : tuple of str
        Names of samplers of two dimensions.
    vertex, fragment : str
        GLSL. The fragment's result is ``fragColor``, in which ``for_target`` makes of a code what the target takes.
    """
    passed = gpu.types.GPUStageInterfaceInfo(name)
    for each, kind in between.items():
        passed.smooth(kind, each)
    info = gpu.types.GPUShaderCreateInfo()
    for each, kind in {"ModelViewProjectionMatrix": "MAT4", **constants}.items():
        info.push_constant(kind, each)
    info.push_constant("BOOL", "srgbTarget")  # Blender itself sets it: whether what is drawn into takes linear light
    for slot, each in enumerate(textures):
        info.sampler(slot, "FLOAT_2D", each)
    for slot, (each, kind) in enumerate(points.items()):
        info.vertex_in(slot, kind, each)
    info.vertex_out(passed)
    info.fragment_out(0, "VEC4", "fragColor")
    info.vertex_source(vertex)
    info.fragment_source(_FOR_TARGET + fragment)
    return gpu.shader.create_from_info(info)


_FOR_TARGET = """
vec3 for_target(vec3 code)
{
  if (!srgbTarget) {
    return code;
  }
  vec3 above = pow((max(code, vec3(0.0)) + vec3(0.055)) / vec3(1.055), vec3(2.4));
  return mix(above, code / vec3(12.92), vec3(lessThan(code, vec3(0.04045))));
}
"""
