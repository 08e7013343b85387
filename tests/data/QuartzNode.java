import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Date;
import java.util.List;
import java.util.Properties;
import java.util.function.UnaryOperator;
import org.quartz.CronScheduleBuilder;
import org.quartz.DisallowConcurrentExecution;
import org.quartz.Job;
import org.quartz.JobBuilder;
import org.quartz.JobDetail;
import org.quartz.JobExecutionContext;
import org.quartz.JobExecutionException;
import org.quartz.JobKey;
import org.quartz.ScheduleBuilder;
import org.quartz.Scheduler;
import org.quartz.SimpleScheduleBuilder;
import org.quartz.Trigger;
import org.quartz.TriggerBuilder;
import org.quartz.TriggerKey;
import org.quartz.impl.StdSchedulerFactory;
import org.quartz.impl.matchers.GroupMatcher;
import org.quartz.utils.DBConnectionManager;

/**
 * A node of Metabase as far as its scheduler goes: real Quartz, clustered, over the app DB, with the settings that Metabase has.
 *
 * Arguments: the node's name, then properties of Quartz, KEY=VALUE. The property "clock" is a query that answers the
 * database's time in microseconds since 1970.
 * Standard input: commands, a line each. Standard output: "DID COMMAND" after each, and of every run of a job
 * "FIRED GROUP.TRIGGER SCHEDULED_MS STARTED_US", the first time being Quartz's own, the second the database's; of jobs that
 * last, "BEGAN NAME STARTED_US" and "ENDED NAME ENDED_US". It ends with its input.
 */
public class QuartzNode {
    private static final String DATA_SOURCE = "metabase";
    private static final int EVERY_MS = 200;
    /** Of those whose name says so: all of them together are not to be more than a busy machine can do. */
    private static final int SLOW_MS = 600;
    /** Of those that a node claims well before their time: it looks half a minute ahead. */
    private static final int LATER_MS = 20_000;
    private static final Object HELD = new Object();

    private static boolean isHeld;
    private static PrintStream out;
    private static String clock;

    public static void main(String[] arguments) throws Exception {
        out = new PrintStream(System.out, true, "UTF-8");
        Properties properties = new Properties();
        for (int at = 1; at < arguments.length; at++) {
            String[] pair = arguments[at].split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        clock = (String) properties.remove("clock");
        properties.setProperty("org.quartz.scheduler.instanceId", arguments[0]);
        Scheduler scheduler = new StdSchedulerFactory(properties).getScheduler();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "schedule":
                    schedule(scheduler, words.length > 1 ? "apart" : "alone");
                    break;
                case "start":
                    scheduler.start();
                    break;
                case "later":
                    addJobs(scheduler);
                    scheduler.scheduleJob(tick(words[1], "later", simple(LATER_MS, builder -> builder)));
                    break;
                case "add":
                    scheduler.scheduleJob(tick(words[1] + "-slow", "added", simple(SLOW_MS, builder -> builder)));
                    break;
                case "look":
                    scheduler.standby();
                    scheduler.start();
                    break;
                case "last":
                    scheduler.triggerJob(new JobKey("lasting"));
                    break;
                case "hold":
                case "release":
                    synchronized (HELD) {
                        isHeld = words[0].equals("hold");
                        HELD.notifyAll();
                    }
                    break;
                default:
                    throw new IllegalArgumentException(line);
            }
            say("DID " + line);
        }
        // Whoever started this is gone: no clean-up, as if it had been killed.
        Runtime.getRuntime().halt(0);
    }

    private static void addJobs(Scheduler scheduler) throws Exception {
        for (Class<? extends Job> job : List.of(Tick.class, Alone.class, Apart.class, Lasting.class)) {
            JobDetail detail = JobBuilder.newJob(job).withIdentity(job.getSimpleName().toLowerCase()).storeDurably().build();
            scheduler.addJob(detail, true);
        }
    }

    /** Schedules of every kind; those of two groups are paused at once. The second one's job of those that run alone is given. */
    private static void schedule(Scheduler scheduler, String alone) throws Exception {
        addJobs(scheduler);
        scheduler.pauseTriggers(GroupMatcher.triggerGroupEquals("asleep"));
        scheduler.scheduleJob(tick("one", "asleep", simple(EVERY_MS, builder -> builder)));
        scheduler.scheduleJob(tick("smart", "simple", simple(EVERY_MS, builder -> builder)));
        scheduler.scheduleJob(tick("smart-slow", "simple", simple(SLOW_MS, builder -> builder)));
        scheduler.scheduleJob(tick("smart-slow", "other", simple(SLOW_MS, builder -> builder)));
        scheduler.scheduleJob(tick("ignore", "simple",
            simple(EVERY_MS, SimpleScheduleBuilder::withMisfireHandlingInstructionIgnoreMisfires)));
        scheduler.scheduleJob(tick("fire-now", "simple",
            simple(EVERY_MS, SimpleScheduleBuilder::withMisfireHandlingInstructionFireNow)));
        scheduler.scheduleJob(tick("now-existing-slow", "simple",
            simple(SLOW_MS, SimpleScheduleBuilder::withMisfireHandlingInstructionNowWithExistingCount)));
        scheduler.scheduleJob(tick("now-remaining-slow", "simple",
            simple(SLOW_MS, SimpleScheduleBuilder::withMisfireHandlingInstructionNowWithRemainingCount)));
        scheduler.scheduleJob(tick("next-existing-slow", "simple",
            simple(SLOW_MS, SimpleScheduleBuilder::withMisfireHandlingInstructionNextWithExistingCount)));
        scheduler.scheduleJob(tick("next-remaining-slow", "simple",
            simple(SLOW_MS, SimpleScheduleBuilder::withMisfireHandlingInstructionNextWithRemainingCount)));
        scheduler.scheduleJob(tick("smart", "cron", cron("* * * * * ?")));
        scheduler.scheduleJob(tick("nothing", "cron",
            cron("0/2 * * * * ?").withMisfireHandlingInstructionDoNothing()));
        scheduler.scheduleJob(of("alone", "one", "alone", simple(EVERY_MS, builder -> builder)));
        scheduler.scheduleJob(of(alone, "two-slow", "alone", simple(SLOW_MS, builder -> builder)));
        scheduler.scheduleJob(tick("stopped", "simple", simple(EVERY_MS, builder -> builder)));
        scheduler.pauseTrigger(new TriggerKey("stopped", "simple"));
    }

    private static ScheduleBuilder<?> simple(int everyMs, UnaryOperator<SimpleScheduleBuilder> misfires) {
        return misfires.apply(SimpleScheduleBuilder.simpleSchedule().withIntervalInMilliseconds(everyMs).repeatForever());
    }

    private static CronScheduleBuilder cron(String expression) {
        return CronScheduleBuilder.cronSchedule(expression);
    }

    private static Trigger tick(String name, String group, ScheduleBuilder<?> schedule) {
        return of("tick", name, group, schedule);
    }

    private static Trigger of(String job, String name, String group, ScheduleBuilder<?> schedule) {
        return TriggerBuilder.newTrigger().withIdentity(name, group).forJob(job).startAt(new Date())
            .withSchedule(schedule).build();
    }

    private static void say(String line) {
        synchronized (out) {
            out.println(line);
        }
    }

    private static long now() throws JobExecutionException {
        try (Connection connection = DBConnectionManager.getInstance().getConnection(DATA_SOURCE);
             Statement statement = connection.createStatement();
             ResultSet row = statement.executeQuery(clock)) {
            row.next();
            return row.getLong(1);
        } catch (Exception error) {
            throw new JobExecutionException(error);
        }
    }

    private static void fired(JobExecutionContext context) throws JobExecutionException {
        long started = now();
        say("FIRED " + context.getTrigger().getKey() + " " + context.getScheduledFireTime().getTime() + " " + started);
    }

    /** Many runs at once. */
    public static class Tick implements Job {
        @Override
        public void execute(JobExecutionContext context) throws JobExecutionException {
            fired(context);
        }
    }

    /** One run at a time in the whole cluster. */
    @DisallowConcurrentExecution
    public static class Alone implements Job {
        @Override
        public void execute(JobExecutionContext context) throws JobExecutionException {
            fired(context);
        }
    }

    /** The same, another job. */
    @DisallowConcurrentExecution
    public static class Apart extends Alone {
    }

    /** Runs as long as it is held. */
    public static class Lasting implements Job {
        @Override
        public void execute(JobExecutionContext context) throws JobExecutionException {
            say("BEGAN lasting " + now());
            try {
                synchronized (HELD) {
                    while (isHeld) {
                        HELD.wait();
                    }
                }
            } catch (InterruptedException error) {
                throw new JobExecutionException(error);
            }
            say("ENDED lasting " + now());
        }
    }
}
