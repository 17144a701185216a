// The measurements in Go, for the jobs of src/job.rs: the argument is the job, as JSON, and the result is a line of JSON
// on stdout. A server prints its address and then answers the questions on stdin.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// The number of operations between two looks at the clock.
	chunk = 1000
	// The number of times that each of two goroutines yields before both are joined.
	yields = 5000
)

type job struct {
	Echo *struct {
		BufferBytes int `json:"buffer_bytes"`
	}
	Tasks *struct {
		Batch   int
		Seconds float64
	}
	Yield   *struct{ Seconds float64 }
	Channel *struct{ Seconds float64 }
	Timers  *struct {
		Sleepers  int
		LongestMs float64 `json:"longest_ms"`
	}
	Memory *struct{ Fibers int }
}

func main() {
	var job job
	must(json.Unmarshal([]byte(os.Args[1]), &job))
	switch {
	case job.Echo != nil:
		serve(job.Echo.BufferBytes)
	case job.Tasks != nil:
		tasks(job.Tasks.Batch, job.Tasks.Seconds)
	case job.Yield != nil:
		yield(job.Yield.Seconds)
	case job.Channel != nil:
		channel(job.Channel.Seconds)
	case job.Timers != nil:
		timers(job.Timers.Sleepers, job.Timers.LongestMs)
	case job.Memory != nil:
		memory(job.Memory.Fibers)
	default:
		must(fmt.Errorf("no program for %s", os.Args[1]))
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: go:", err)
		os.Exit(1)
	}
}

func say(answer any) {
	line, err := json.Marshal(answer)
	must(err)
	fmt.Println(string(line))
}

func serve(bufferBytes int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	say(listener.Addr().String())
	go answerParent()
	for {
		connection, err := listener.Accept()
		must(err)
		go echo(connection, bufferBytes)
	}
}

// An error ends its connection. Go sets TCP_NODELAY by itself.
func echo(connection net.Conn, bufferBytes int) {
	defer connection.Close()
	buffer := make([]byte, bufferBytes)
	for {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func answerParent() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case `"Usage"`:
			user, system := usage()
			say(map[string]float64{"user_us": user, "system_us": system})
		case `"ResidentBytes"`:
			say(residentBytes())
		default:
			must(fmt.Errorf("no answer to %s", lines.Text()))
		}
	}
	os.Exit(0)
}

// Returns the CPU time that this process has used, in microseconds.
func usage() (user, system float64) {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return micros(usage.Utime), micros(usage.Stime)
}

func micros(time syscall.Timeval) float64 {
	return float64(time.Sec)*1e6 + float64(time.Usec)
}

func residentBytes() float64 {
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	must(err)
	for _, line := range strings.Split(string(rollup), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Rss:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			must(err)
			return kib * 1024
		}
	}
	must(fmt.Errorf("/proc/self/smaps_rollup has no Rss"))
	return 0
}

// Counts operations for a while, after a warm-up of a tenth of it.
type stopwatch struct {
	made, begun, ended time.Time
	duration           time.Duration
	operations         int
}

func newStopwatch(seconds float64) *stopwatch {
	return &stopwatch{made: time.Now(), duration: time.Duration(seconds * 1e9)}
}

// Returns true if the measurement continues. To be called before each chunk of this number of operations.
func (watch *stopwatch) goesOn(operations int) bool {
	watch.ended = time.Now()
	if watch.begun.IsZero() {
		if watch.ended.Sub(watch.made) >= watch.duration/10 {
			watch.begun = watch.ended
		}
		return true
	}
	watch.operations += operations
	return watch.ended.Sub(watch.begun) < watch.duration
}

func (watch *stopwatch) say() {
	nanoseconds := float64(watch.ended.Sub(watch.begun))
	say(map[string]float64{"ns_per_operation": nanoseconds / float64(watch.operations)})
}

func tasks(batch int, seconds float64) {
	watch := newStopwatch(seconds)
	turns := (chunk + batch - 1) / batch
	results := make(chan int, batch)
	for watch.goesOn(turns * batch) {
		for turn := 0; turn < turns; turn++ {
			for number := 0; number < batch; number++ {
				number := number
				go func() { results <- number }()
			}
			for number := 0; number < batch; number++ {
				<-results
			}
		}
	}
	watch.say()
}

func yield(seconds float64) {
	watch := newStopwatch(seconds)
	for watch.goesOn(2 * yields) {
		var both sync.WaitGroup
		both.Add(2)
		for number := 0; number < 2; number++ {
			go func() {
				defer both.Done()
				for turn := 0; turn < yields; turn++ {
					runtime.Gosched()
				}
			}()
		}
		both.Wait()
	}
	watch.say()
}

func channel(seconds float64) {
	watch := newStopwatch(seconds)
	ping, pong := make(chan int, 1), make(chan int, 1)
	go func() {
		for number := range ping {
			pong <- number
		}
	}()
	for watch.goesOn(2 * chunk) {
		for number := 0; number < chunk; number++ {
			ping <- number
			if <-pong != number {
				must(fmt.Errorf("another number came back"))
			}
		}
	}
	close(ping)
	watch.say()
}

func timers(sleepers int, longestMs float64) {
	userBefore, systemBefore := usage()
	late := make([]float64, sleepers)
	var all sync.WaitGroup
	all.Add(sleepers)
	for index := 0; index < sleepers; index++ {
		index := index
		place := float64(index*7919%sleepers) / float64(sleepers)
		duration := time.Duration(place * longestMs * 1e6)
		go func() {
			defer all.Done()
			begun := time.Now()
			time.Sleep(duration)
			late[index] = float64(time.Since(begun)-duration) / 1000
		}()
	}
	all.Wait()
	user, system := usage()
	sort.Float64s(late)
	say(map[string]float64{
		"cpu_ms":      (user + system - userBefore - systemBefore) / 1000,
		"late_p50_us": late[sleepers/2],
		"late_p99_us": late[sleepers*99/100],
	})
}

func memory(fibers int) {
	var alive atomic.Int64
	end := make(chan struct{})
	var all sync.WaitGroup
	all.Add(fibers)
	before := residentBytes()
	for number := 0; number < fibers; number++ {
		go func() {
			defer all.Done()
			alive.Add(1)
			<-end
		}()
	}
	for alive.Load() < int64(fibers) {
		time.Sleep(time.Millisecond)
	}
	withAll := residentBytes()
	close(end)
	all.Wait()
	say(map[string]float64{"alive": float64(fibers), "bytes_per_task": (withAll - before) / float64(fibers)})
}
