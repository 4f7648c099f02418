// Job type for Flamenco 3: depth of video by Fathom, in chunks that were planned before.
//
// Copy this file into the folder "scripts" beside flamenco-manager, and restart the Manager. Jobs of this type are sent by
// Fathom, from Blender or by its command bundle, since the chunks' numbers come from the plan.
const JOB_TYPE = {
    label: "Fathom Depth",
    description: "Temporally stable depth of clips, estimated in chunks and merged. Sent by Fathom.",
    settings: [
        {
            key: "python", type: "string", subtype: "file_path", required: true,
            description: "Python of the environment with Fathom's packages, as the workers know it",
        },
        {
            key: "fathom", type: "string", subtype: "dir_path", required: true,
            description: "Fathom's folder 'inference', as the workers know it",
        },
        {
            key: "outputs", type: "string", subtype: "dir_path", default: "",
            description: "Folder that the depth sequences lie in",
        },
        {
            key: "clips", type: "string", subtype: "dir_path", default: "",
            description: "Folder that the clips, and their mattes, lie in",
        },
        {
            key: "chunks_per_task", type: "int32", default: 1, propargs: {min: 1, max: 1000},
            description: "How many chunks of a shot and a phase one task does",
        },
        {
            key: "task_type", type: "string", default: "misc", visible: "web",
            description: "Type of the tasks: workers do those that their configuration lists",
        },
        {
            key: "plans", type: "string", required: true, visible: "hidden",
            description: "The clips and their chunks, as planned",
        },
    ],
};

// Tasks that a phase of a shot may have before the next one's wait for a task that gathers them: otherwise each of them
// would name each of the others.
const MOST_NAMED = 20;

function compileJob(job) {
    const settings = job.settings;
    if (!settings.plans) {
        throw new Error("This job has no chunks: send it from Fathom, by Send to Farm or by the command bundle.");
    }
    for (const clip of JSON.parse(settings.plans)) {
        authorClip(job, settings, clip);
    }
}

function authorClip(job, settings, clip) {
    const output = below(settings.outputs, clip.output);
    const place = below(settings.clips, clip.clip);
    const mattes = clip.mattes ? ["--mattes", below(settings.clips, clip.mattes)] : [];

    function command(name, args, before) {
        const task = author.Task(`${clip.name}: ${name}`, settings.task_type);
        task.addCommand(author.Command("exec", {
            exe: settings.python,
            args: ["-I", "-u", `${settings.fathom}/__main__.py`].concat(args, mattes),
        }));
        return added(job, task, before);
    }

    const check = command("check the plan", ["plan", "--check", output, "--clip", place], []);
    const latest = {};  // by shot: the tasks of its phase before
    for (const phase of clip.phases) {
        for (const range of phase.chunks) {
            const last = range[1], shot = range[2];
            const before = gathered(job, settings, latest[shot] || [check], `${clip.name}: before ${phase.label}`);
            latest[shot] = [];
            for (let first = range[0]; first <= last; first += settings.chunks_per_task) {
                const until = Math.min(first + settings.chunks_per_task - 1, last);
                const chunks = first === until ? `${first}` : `${first}-${until}`;
                const args = ["estimate", place, "--planned", output, "--chunks", chunks];
                latest[shot].push(command(`${phase.label}, chunk ${chunks}`, args, before));
            }
        }
    }
    let all = [];
    for (const shot in latest) {
        all = all.concat(gathered(job, settings, latest[shot], `${clip.name}: before merging`));
    }
    command("merge", ["merge", output, "--clip", place], all.length ? all : [check]);
}

// Add a task that waits for others.
function added(job, task, before) {
    for (const each of before) {
        task.addDependency(each);
    }
    job.addTask(task);
    return task;
}

// The tasks to wait for: a single one that waits for them where they are many.
function gathered(job, settings, tasks, name) {
    if (tasks.length <= MOST_NAMED) {
        return tasks;
    }
    const task = author.Task(name, settings.task_type);
    task.addCommand(author.Command("echo", {message: `${tasks.length} tasks are done`}));
    return [added(job, task, tasks)];
}

function below(root, path) {
    return root ? `${root}/${path}` : path;
}
