// What Flamenco's Manager does with a job type, for tests: compiles a job's tasks, in a context with its objects alone.
//
// node manager.js JOB_TYPE.js JOB.json: prints a JSON list of tasks with their commands, and the places in the list of
// those that they wait for.
const fs = require("fs");
const vm = require("vm");

const [script, file] = process.argv.slice(2);
const tasks = [];
const author = {
    Task(name, type) {
        if (!name || !type) throw new TypeError("a task needs a name and a type");
        const dependencies = [];
        return {
            name, type, commands: [], dependencies,
            addCommand(command) { this.commands.push(command); },
            addDependency(task) { dependencies.push(task); },
        };
    },
    Command(name, parameters) {
        return {name, parameters};
    },
};
const context = vm.createContext({author, print() {}});
vm.runInContext(`${fs.readFileSync(script, "utf8")}\nthis.JOB_TYPE = JOB_TYPE; this.compileJob = compileJob;`, context);
const job = JSON.parse(fs.readFileSync(file, "utf8"));
for (const setting of context.JOB_TYPE.settings) {
    if (setting.required && !(setting.key in job.settings)) throw new Error(`${setting.key} is missing`);
}
const known = context.JOB_TYPE.settings.map(setting => setting.key);
for (const key of Object.keys(job.settings)) {
    if (!known.includes(key)) throw new Error(`the job type has no setting ${key}`);
}
context.compileJob({...job, created: new Date(), addTask(task) { tasks.push(task); }});
console.log(JSON.stringify(tasks.map(task => ({
    name: task.name, type: task.type, commands: task.commands,
    dependencies: task.dependencies.map(each => tasks.indexOf(each)),
}))));
