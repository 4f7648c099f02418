"""What Fathom saves in the .blend file: its settings and the depths that a scene knows."""

import bpy

from ..inference.contract.camera_files import NUKES_ORDER, ROTATION_ORDERS
from ..inference.contract.catalogue import AUTOMATIC
from ..scene import depth_list, export, refine
from ..scene.versions import HEARS_CHANGES, PATH_OPTIONS


class FATHOM_PG_fit_key(bpy.types.PropertyGroup):
    """Scale and shift of a fit at a source frame."""

    frame: bpy.props.IntProperty(name="Frame", description="Source frame")
    scale: bpy.props.FloatProperty(name="Scale", description="a of 1/Z = a d + b", default=1.0)
    shift: bpy.props.FloatProperty(name="Shift", description="b of 1/Z = a d + b")


class FATHOM_PG_fit_track(bpy.types.PropertyGroup):
    """How a track of the solve agrees with the depth; its name is the track's."""

    distance: bpy.props.FloatProperty(name="Distance", description="Median distance by the camera solve")
    fitted: bpy.props.FloatProperty(name="Fitted", description="Median distance by the depth; 0 is beyond infinity")
    error: bpy.props.FloatProperty(name="Error", description="Median difference, as a share of the distance")
    is_inlier: bpy.props.BoolProperty(name="Is Used", description="Whether the fit rests on it")


class FATHOM_PG_fit(bpy.types.PropertyGroup):
    """How the depth of a shot was fitted to a camera solve."""

    job: bpy.props.StringProperty(name="Job", description="Fingerprint of the job whose depth was fitted")
    first_frame: bpy.props.IntProperty(name="First Frame", description="First source frame of the shot")
    last_frame: bpy.props.IntProperty(name="Last Frame", description="Last source frame of the shot")
    far: bpy.props.FloatProperty(name="Far", description="1 % percentile of the disparity that was fitted")
    near: bpy.props.FloatProperty(name="Near", description="99 % percentile of it; 0 and 0 are not known")
    clip: bpy.props.PointerProperty(type=bpy.types.MovieClip, name="Clip", description="The clip with the solve")
    solve: bpy.props.StringProperty(name="Solve", description="What tells the solve from the clip's next one")
    keys: bpy.props.CollectionProperty(type=FATHOM_PG_fit_key, name="Keys")
    tracks: bpy.props.CollectionProperty(type=FATHOM_PG_fit_track, name="Tracks")
    is_undistorted: bpy.props.BoolProperty(
        name="Undistorted", description="The depth is of images whose lens distortion was taken out"
    )
    residual: bpy.props.FloatProperty(name="Residual", description="Median error of the tracks that are used")
    notes: bpy.props.StringProperty(name="Notes", description="What was left out")


class FATHOM_PG_depth(bpy.types.PropertyGroup):
    """A depth sequence that the scene knows."""

    folder: bpy.props.StringProperty(
        name="Folder",
        description="Where the depth sequence lies. When it was moved, choose its new place: what was built goes with "
        "it",
        subtype="DIR_PATH",
        options=PATH_OPTIONS,
        **({"update": lambda self, _context: depth_list.folder_chosen(self)} if HEARS_CHANGES else {}),
    )
    linked: bpy.props.StringProperty(
        name="Linked Folder",
        description="The folder that what was built shows",
        subtype="DIR_PATH",
        options={"HIDDEN"} | PATH_OPTIONS,
    )
    job: bpy.props.StringProperty(
        name="Job", description="Fingerprint of the job that the depth is of", options={"HIDDEN"}
    )
    plate: bpy.props.StringProperty(
        name="Plate",
        description="The movie, or the first frame, where the clip does not lie where its depth.json says",
        subtype="FILE_PATH",
        options=PATH_OPTIONS,
    )
    plate_colorspace: bpy.props.StringProperty(
        name="Plate Color Space", description="Color space of the plate, where it was found", options={"HIDDEN"}
    )
    frame_offset: bpy.props.IntProperty(
        name="Frame Offset",
        description="What is added to the clip's frame numbers to give the scene's; what is built follows when it is "
        "built again",
        default=0,
    )
    estimator: bpy.props.StringProperty(name="Estimator", description="Name of what the depth was estimated by")
    summary: bpy.props.StringProperty(name="Summary", description="What the depth sequence holds")
    is_pending: bpy.props.BoolProperty(
        name="Pending", description="A render farm is making it; it is loaded once it is merged", options={"HIDDEN"}
    )
    fits: bpy.props.CollectionProperty(
        type=FATHOM_PG_fit, name="Fits", description="Shots whose distances are those of a camera solve"
    )


class FATHOM_PG_view(bpy.types.PropertyGroup):
    """How depth is shown in the editors; nothing that is built depends on it."""

    show: bpy.props.BoolProperty(
        name="View Depth",
        description="Show the active depth in the Sequencer's preview, the Movie Clip Editor and the Image Editor",
        default=False,
    )
    colors: bpy.props.EnumProperty(
        name="Colors",
        description="Colors of what is far to what is near",
        items=(
            ("TURBO", "Turbo", "Blue far, green between, red near: tells most levels apart"),
            ("INFERNO", "Inferno", "Black far, yellow near: as light as it is near"),
            ("GRAY", "Gray", "Black far, white near"),
        ),
        default="TURBO",
    )
    opacity: bpy.props.FloatProperty(
        name="Opacity", description="Of the depth over the plate", default=1.0, min=0.0, max=1.0, subtype="FACTOR"
    )
    near: bpy.props.FloatProperty(
        name="Near",
        description="What is shown nearest: 1 is the nearest percent of the shot, 0 its farthest percent",
        default=1.0,
        soft_min=0.0,
        soft_max=1.0,
    )
    far: bpy.props.FloatProperty(
        name="Far",
        description="What is shown farthest: 0 is the farthest percent of the shot, 1 its nearest percent. Above Near, "
        "the colors are inverted",
        default=0.0,
        soft_min=0.0,
        soft_max=1.0,
    )
    gamma: bpy.props.FloatProperty(
        name="Gamma", description="Above 1, what is far has more of the colors", default=1.0, min=0.1, max=10.0
    )
    arrangement: bpy.props.EnumProperty(
        name="Arrangement",
        description="Where depth is shown",
        items=(
            ("OVER", "Over", "Over the plate"),
            ("WIPE", "Wipe", "Right of a line; the plate, or the other version, is left of it"),
            ("BESIDE", "Beside", "Right of the plate, or of the other version"),
        ),
        default="OVER",
    )
    wipe: bpy.props.FloatProperty(
        name="Wipe", description="Where the line is", default=0.5, min=0.0, max=1.0, subtype="FACTOR"
    )
    other: bpy.props.StringProperty(
        name="Against", description="Another depth of the list to compare with, such as a version; empty: the plate"
    )
    follow_run: bpy.props.BoolProperty(
        name="Follow Estimate",
        description="While depth is being estimated, show its frames as they come in; off: the active depth",
        default=True,
    )


class FATHOM_PG_export(bpy.types.PropertyGroup):
    """What is written for other programs, and how: `scene.export.properties`."""

    __annotations__ = export.properties()


class FATHOM_PG_refine(bpy.types.PropertyGroup):
    """How depth is refined: `scene.refine.properties`."""

    __annotations__ = refine.properties()


class FATHOM_PG_scene(bpy.types.PropertyGroup):
    """Fathom's settings in a scene."""

    fog_preview: bpy.props.BoolProperty(
        name="Viewport Preview",
        description="Draw fog in the 3D Viewport without its noise, over the plate; Cycles in Rendered has the volume "
        "itself",
        default=True,
    )
    estimator: bpy.props.StringProperty(
        name="Estimator", description="Name of the method that estimates depth", default=AUTOMATIC.name
    )  # a string and no enum: an enum stores a number, which changes when an estimator is added
    cuts: bpy.props.EnumProperty(
        name="Cuts",
        description="Where one shot of the clip ends and the next begins; each is estimated on its own",
        items=(
            ("AUTO", "Automatic", "Find hard cuts"),
            ("NONE", "None", "The clip is one shot"),
            ("FRAMES", "At Frames", "Cut where you say"),
        ),
        default="AUTO",
    )
    cut_frames: bpy.props.StringProperty(
        name="First Frames",
        description="First frames of the shots after the first, in the clip's own numbers, such as 31, 77",
    )
    size: bpy.props.IntProperty(
        name="Processing Resolution",
        description="Long side in pixels that the estimator works at; 0 leaves the choice to the estimator. "
        "Parallax finds its camera and the edges at this size, and depth itself at 416 pixels at most",
        default=0,
        min=0,
        max=16384,
        subtype="PIXEL",
    )
    full_size: bpy.props.BoolProperty(
        name="Full Resolution",
        description="Bring the depth to the clip's own size, its edges following those of the image",
        default=False,
    )
    seed: bpy.props.IntProperty(
        name="Seed", description="Start of every random choice: the same seed gives the same depth", default=0, min=0
    )
    use_range: bpy.props.BoolProperty(
        name="Range", description="Estimate a part of what the strip or clip shows", default=False
    )
    range_start: bpy.props.IntProperty(
        name="Start", description="First frame of the timeline that is estimated", default=1
    )
    range_end: bpy.props.IntProperty(
        name="End", description="Last frame of the timeline that is estimated", default=250
    )
    preview_length: bpy.props.FloatProperty(
        name="Preview Length",
        description="How much of the clip, around the playhead, Preview Frame estimates; 0 leaves the choice to the "
        "estimator",
        default=0.0,
        min=0.0,
        soft_max=10.0,
        unit="TIME_ABSOLUTE",
    )
    mattes: bpy.props.StringProperty(
        name="Matte Folder",
        description="Folder of images with the clip's frame numbers, white on what moves: camera solves leave it out",
        subtype="DIR_PATH",
        options=PATH_OPTIONS,
    )
    camera: bpy.props.EnumProperty(
        name="Solved Camera",
        description="The camera of the clip, where it is solved already: depth is then in its units, and stands where "
        "it does",
        items=(
            ("NONE", "None", "The camera is not known, or its focal length alone"),
            ("SOLVE", "Camera Solve", "The camera solve of the clip, with its lens distortion"),
            ("CAMERA", "Scene Camera", "A camera of the scene, whatever moves it"),
            ("FILE", "File", "A camera file of Fathom's, a .chan file, or the folder of COLMAP's text files"),
        ),
        default="NONE",
    )
    camera_clip: bpy.props.PointerProperty(
        type=bpy.types.MovieClip,
        name="Solved Clip",
        description="The clip with the camera solve, such as the same shot at another resolution; empty: the clip "
        "itself",
    )
    # without a poll function: Blender 4.2 crashes at its end if an extension that was removed had one
    camera_object: bpy.props.PointerProperty(
        type=bpy.types.Object,
        name="Camera",
        description="The camera that moves as the clip's did",
    )
    camera_file: bpy.props.StringProperty(
        name="Camera File",
        description="A camera file of Fathom's, a .chan file, or the folder of COLMAP's cameras.txt and images.txt",
        subtype="FILE_PATH",
        options=PATH_OPTIONS,
    )
    rotation_order: bpy.props.EnumProperty(
        name="Rotation Order",
        description="Order of the rotations in a .chan file, which does not say; ZXY is Nuke's",
        items=tuple(
            (order, order, f"About {order[0]} first, then {order[1]}, then {order[2]}") for order in ROTATION_ORDERS
        ),
        default=NUKES_ORDER,
    )
    use_focal_length: bpy.props.BoolProperty(
        name="Known Focal Length", description="Estimate with the lens that the clip was filmed with", default=False
    )
    focal_length: bpy.props.FloatProperty(
        name="Focal Length",
        description="Focal length of the lens",
        default=50.0,
        min=1.0,
        soft_max=500.0,
        unit="CAMERA",
    )
    sensor_width: bpy.props.FloatProperty(
        name="Sensor Width",
        description="Width of what the clip shows on the camera's sensor",
        default=36.0,
        min=1.0,
        soft_max=100.0,
        unit="CAMERA",
    )
    output: bpy.props.StringProperty(
        name="Output",
        description="Folder of the depth sequences: each clip gets a folder in it, and each new estimate a version",
        default="//depth",
        subtype="DIR_PATH",
        options=PATH_OPTIONS,
    )
    known_distance: bpy.props.FloatProperty(
        name="Distance",
        description="Between two points, or from the camera to one, as it was measured",
        default=1.0,
        min=1e-6,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    depths: bpy.props.CollectionProperty(type=FATHOM_PG_depth, name="Depths")
    active_depth: bpy.props.IntProperty(name="Active Depth", default=0, min=0)
    view: bpy.props.PointerProperty(type=FATHOM_PG_view, name="View")
    export: bpy.props.PointerProperty(type=FATHOM_PG_export, name="Export")
    refine: bpy.props.PointerProperty(type=FATHOM_PG_refine, name="Refine Depth")
    all_shots: bpy.props.BoolProperty(
        name="All Shots",
        description="Build one setup for every shot of the clip, instead of the one under the playhead",
        default=False,
    )


CLASSES = (
    FATHOM_PG_fit_key,
    FATHOM_PG_fit_track,
    FATHOM_PG_fit,
    FATHOM_PG_depth,
    FATHOM_PG_view,
    FATHOM_PG_export,
    FATHOM_PG_refine,
    FATHOM_PG_scene,
)


def register() -> None:
    """Hang the settings on the scene; the classes are registered by then."""
    bpy.types.Scene.fathom = bpy.props.PointerProperty(type=FATHOM_PG_scene, name="Fathom")


def unregister() -> None:
    """Take them off again."""
    del bpy.types.Scene.fathom
